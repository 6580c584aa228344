package test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// TestCompose holds docker-compose.yml against Compose's own schema and against the binary: nothing here can pull images,
// so what a start would show has to be found without one.
func TestCompose(t *testing.T) {
	t.Parallel()
	project := loadCompose(t)
	potok := buildPotok(t, "1.2.3-test")

	var processes []string
	ours := 0
	dirs := map[string]string{} // who uses a volume
	for name, service := range project.Services {
		if service.Privileged {
			t.Errorf("%s is privileged", name)
		}
		for _, v := range service.Volumes {
			if v.Type != types.VolumeTypeVolume || v.Source == "" {
				t.Errorf("%s: %s is not on a named volume", name, v.Target)
			}
			if other, taken := dirs[v.Source]; taken {
				t.Errorf("%s and %s share the volume %s", other, name, v.Source)
			}
			dirs[v.Source] = name
		}
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %d is open to the network", name, port.Target)
			}
		}
		if service.Build == nil {
			if !pinned(service.Image) {
				t.Errorf("%s: image %q has no exact version", name, service.Image)
			}
			continue
		}

		ours++
		if got := filepath.Join(service.Build.Context, service.Build.Dockerfile); got != filepath.Join(project.WorkingDir, "Dockerfile") {
			t.Errorf("%s is built from %s", name, got)
		}
		if service.Entrypoint != nil || len(service.Command) == 0 {
			t.Errorf("%s: wants a command, and the image's entry point", name)
			continue
		}
		help := accepts(t, potok, name+": command", service.Command)
		for key, value := range service.Environment {
			flag := "--" + strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(key, "POTOK_"), "_", "-"))
			if !strings.Contains(help, key) && (!strings.HasPrefix(key, "POTOK_") || !strings.Contains(help, flag+" ")) {
				t.Errorf("%s: %s is no setting of %q", name, key, service.Command)
			}
			if value == nil {
				t.Errorf("%s: %s comes from whoever starts it", name, key)
			}
		}
		listens := service.Command[0] == "process" || service.Command[0] == "view"
		if listens {
			checkState(t, name, service)
		}
		if service.Command[0] == "process" {
			processes = append(processes, name)
		}
		if (service.HealthCheck != nil) != listens {
			t.Errorf("%s: health check: %v, want one: %v", name, service.HealthCheck != nil, listens)
		}
		if service.HealthCheck != nil {
			test := service.HealthCheck.Test
			if len(test) < 3 || test[0] != "CMD" || test[1] != "/potok" {
				t.Errorf("%s: health check %q: the image has nothing but /potok", name, test)
				continue
			}
			accepts(t, potok, name+": health check", test[2:])
			checkHealthPort(t, name, service)
		}
		// Only the one-shot ends by itself, and only Kafka's health can be waited for by it.
		if want := map[bool]string{true: "no", false: "unless-stopped"}[name == "topics"]; service.Restart != want {
			t.Errorf("%s: restart: %q, want %q", name, service.Restart, want)
		}
		if service.DependsOn["kafka"].Condition != types.ServiceConditionHealthy {
			t.Errorf("%s does not wait until Kafka is healthy", name)
		}
		if name != "topics" && service.DependsOn["topics"].Condition != types.ServiceConditionCompletedSuccessfully {
			t.Errorf("%s does not wait for the topics", name)
		}
	}
	if len(processes) != 2 || ours != 6 {
		t.Errorf("services that process: %q, of %d ours; want two of 6", processes, ours)
	}
}

// TestComposeKafka checks what the broker's settings say about each other and to the others.
func TestComposeKafka(t *testing.T) {
	t.Parallel()
	project := loadCompose(t)
	kafka, err := project.GetService("kafka")
	if err != nil {
		t.Fatal(err)
	}
	if kafka.HealthCheck == nil {
		t.Error("kafka has no health check, and others wait for it")
	}
	get := func(name string) string {
		v := kafka.Environment["KAFKA_"+name]
		if v == nil {
			t.Fatalf("KAFKA_%s is missing", name)
		}
		return *v
	}
	protocols := map[string]bool{}
	for entry := range strings.SplitSeq(get("LISTENER_SECURITY_PROTOCOL_MAP"), ",") {
		listener, _, _ := strings.Cut(entry, ":")
		protocols[listener] = true
	}
	bound := map[string]string{} // ports by listener
	for entry := range strings.SplitSeq(get("LISTENERS"), ",") {
		listener, addr, _ := strings.Cut(entry, "://")
		_, port, err := net.SplitHostPort(addr)
		if err != nil || !protocols[listener] {
			t.Errorf("listener %s: %v, in the protocol map: %v", entry, err, protocols[listener])
		}
		bound[listener] = port
	}
	inside, outside := "", ""
	for entry := range strings.SplitSeq(get("ADVERTISED_LISTENERS"), ",") {
		listener, addr, _ := strings.Cut(entry, "://")
		host, port, err := net.SplitHostPort(addr)
		if err != nil || bound[listener] != port {
			t.Errorf("%s is advertised and bound to port %s: %v", entry, bound[listener], err)
		}
		if host == "kafka" {
			inside = addr
		} else {
			outside = addr
		}
	}
	if get("CONTROLLER_QUORUM_VOTERS") != get("NODE_ID")+"@kafka:"+bound[get("CONTROLLER_LISTENER_NAMES")] {
		t.Errorf("the voter %s is not this broker's controller", get("CONTROLLER_QUORUM_VOTERS"))
	}
	if p := kafka.Ports[0]; outside != net.JoinHostPort(p.HostIP, p.Published) {
		t.Errorf("advertised to this machine as %s, published on %s:%s", outside, p.HostIP, p.Published)
	}
	if v := kafka.Volumes[0]; v.Target != get("LOG_DIRS") {
		t.Errorf("the volume is at %s, the data in %s", v.Target, get("LOG_DIRS"))
	}
	for name, service := range project.Services {
		if service.Build == nil {
			continue
		}
		if got := service.Environment["KAFKA_BOOTSTRAP_SERVERS"]; got == nil || *got != inside {
			t.Errorf("%s does not start from %s", name, inside)
		}
	}
}

// TestDockerfile checks that the image is built from fixed versions and from what is there.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	text := readFile(t, "Dockerfile")
	stages := map[string]bool{"scratch": true}
	user := ""
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "FROM":
			if !stages[words[1]] && !pinned(words[1]) {
				t.Errorf("base image %s has no exact version", words[1])
			}
			if len(words) == 4 {
				stages[words[3]] = true
			}
			user = "root" // until the stage says otherwise
		case "COPY":
			if from, ok := strings.CutPrefix(words[1], "--from="); ok {
				if !stages[from] {
					t.Errorf("no stage %s to copy from", from)
				}
				continue
			}
			for _, source := range words[1 : len(words)-1] {
				if _, err := os.Stat(filepath.Join("..", source)); err != nil || ignored(t, source) {
					t.Errorf("COPY %s: %v, hidden by .dockerignore: %v", source, err, ignored(t, source))
				}
			}
		case "USER":
			user = words[1]
		}
	}
	if user == "root" || strings.HasPrefix(user, "0") {
		t.Errorf("the image runs as %q", user)
	}
	if !strings.Contains(text, "CGO_ENABLED=0") || !strings.Contains(text, " ./cmd/potok") {
		t.Error("the image needs a static binary of ./cmd/potok")
	}
	if m := regexp.MustCompile(`FROM golang:(\d+\.\d+)\.`).FindStringSubmatch(text); m == nil || !strings.Contains(readFile(t, "go.mod"), "\ngo "+m[1]) {
		t.Errorf("the image is built with Go %q, go.mod says otherwise", m)
	}
	// All that the binary is made of has to reach the build.
	for _, p := range goList(t, "./cmd/potok") {
		if !inside(p.ImportPath, module) {
			continue
		}
		for _, file := range slices.Concat(p.GoFiles, p.EmbedFiles) {
			if name := path.Join(local(p.ImportPath), file); ignored(t, name) {
				t.Errorf(".dockerignore hides %s", name)
			}
		}
	}
}

// checkState wants the data directory on a volume.
func checkState(t *testing.T, name string, service types.ServiceConfig) {
	t.Helper()
	dir := flagOf(service.Command, "--data-dir")
	if len(service.Volumes) != 1 || service.Volumes[0].Target != dir {
		t.Errorf("%s: --data-dir %s is not what its one volume holds", name, dir)
	}
	// Its owner comes from there.
	if !strings.Contains(readFile(t, "Dockerfile"), "\nVOLUME "+dir+"\n") {
		t.Errorf("%s: the image has no directory %s for its user", name, dir)
	}
}

// checkHealthPort wants the health check to ask the port on which the service answers.
func checkHealthPort(t *testing.T, name string, service types.ServiceConfig) {
	t.Helper()
	listen := flagOf(service.Command, "--listen")
	if service.Command[0] == "process" {
		listen = flagOf(service.Command, "--metrics-listen")
	}
	_, port, err := net.SplitHostPort(listen)
	if url := flagOf(types.ShellCommand(service.HealthCheck.Test), "--url"); err != nil || url != "http://127.0.0.1:"+port+"/readyz" {
		t.Errorf("%s listens on %q, its health check asks %q: %v", name, listen, url, err)
	}
}

// flagOf returns a flag's value on a command line.
func flagOf(command types.ShellCommand, flag string) string {
	if i := slices.Index(command, flag); i >= 0 && i+1 < len(command) {
		return command[i+1]
	}
	return ""
}

// accepts checks that the binary has a command and all its flags, with values they take, and returns its help. Cobra reads
// the whole command line before it answers --help; of an unknown command it shows the one above, so the usage line counts.
func accepts(t *testing.T, potok, what string, args []string) string {
	t.Helper()
	names := args
	if i := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") }); i >= 0 {
		names = args[:i]
	}
	cmd := exec.CommandContext(t.Context(), potok, append(slices.Clone(args), "--help")...)
	cmd.Env = []string{}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "\n  potok "+strings.Join(names, " ")+" [flags]\n") {
		t.Errorf("%s: the binary does not take %q: %v\n%s", what, args, err, out)
	}
	return string(out)
}

// buildPotok builds the binary with the Dockerfile's linker flags (and without -trimpath, which would compile everything anew).
func buildPotok(t *testing.T, version string) string {
	t.Helper()
	sourceFiles(t) // so that a cached result of this test is one of today's source
	m := regexp.MustCompile(`-ldflags="([^"]*)"`).FindStringSubmatch(readFile(t, "Dockerfile"))
	if m == nil {
		t.Fatal("the Dockerfile has no -ldflags")
	}
	potok := filepath.Join(t.TempDir(), "potok")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-ldflags="+strings.ReplaceAll(m[1], "${VERSION}", version), "-o", potok, "./cmd/potok")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), potok, "version").Output(); err != nil || !bytes.Contains(out, []byte(version)) {
		t.Errorf("potok version says %q, %v; the Dockerfile's -ldflags set %s", out, err, version)
	}
	return potok
}

func loadCompose(t *testing.T) *types.Project {
	t.Helper()
	dir, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	details := types.ConfigDetails{
		WorkingDir:  dir,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, "docker-compose.yml"), Content: []byte(readFile(t, "docker-compose.yml"))}},
		Environment: types.Mapping{},
	}
	project, err := loader.LoadWithContext(t.Context(), details, func(o *loader.Options) { o.SetProjectName("potok", true) })
	if err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	return project
}

// pinned says whether an image's name has a version of three numbers, or a digest.
func pinned(image string) bool {
	return regexp.MustCompile(`:v?\d+\.\d+\.\d+(-[a-z0-9.]+)?$|@sha256:[0-9a-f]{64}$`).MatchString(image)
}

// ignored says whether .dockerignore hides a file, or a directory above it. It knows the patterns that are in there: no
// exceptions, and ** in front only.
func ignored(t *testing.T, name string) bool {
	t.Helper()
	for pattern := range strings.Lines(readFile(t, ".dockerignore")) {
		pattern = strings.TrimSpace(pattern)
		if pattern == "" || strings.HasPrefix(pattern, "#") {
			continue
		}
		rest, anywhere := strings.CutPrefix(pattern, "**/")
		if strings.HasPrefix(pattern, "!") || strings.Contains(rest, "**") {
			t.Fatalf(".dockerignore: this test does not understand %s", pattern)
		}
		for part := name; part != "."; part = path.Dir(part) {
			candidate := part
			if anywhere {
				candidate = path.Base(part)
			}
			if hit, err := path.Match(rest, candidate); err != nil || hit {
				return true
			}
		}
	}
	return false
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
