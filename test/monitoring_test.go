package test

import (
	"encoding/json"
	"net"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"
)

// TestComposeMonitoring holds Prometheus' and Grafana's files against docker-compose.yml: who is scraped, what is mounted
// where, and that each finds the other. What the queries name is checked where the metrics are, in cmd/potok.
func TestComposeMonitoring(t *testing.T) {
	t.Parallel()
	project := loadCompose(t)
	prometheus, grafana := mounted(t, project, "prometheus"), mounted(t, project, "grafana")

	var scrape struct {
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			JobName       string `yaml:"job_name"`
			StaticConfigs []struct {
				Targets []string `yaml:"targets"`
			} `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	service := project.Services["prometheus"]
	config := ""
	for _, arg := range service.Command {
		if file, ok := strings.CutPrefix(arg, "--config.file="); ok {
			config = file
		}
		if dir, ok := strings.CutPrefix(arg, "--storage.tsdb.path="); ok && (len(service.Volumes) != 1 || service.Volumes[0].Target != dir) {
			t.Errorf("prometheus keeps its data in %s, and that is no volume", dir)
		}
	}
	readYAML(t, prometheus[config], &scrape)
	for _, rules := range scrape.RuleFiles {
		if prometheus[rules] == "" {
			t.Errorf("prometheus has no %s", rules)
		}
	}
	var got, want []string
	for _, job := range scrape.ScrapeConfigs {
		if !strings.HasPrefix(job.JobName, "potok-") { // the alerts look for that
			t.Errorf("job %s is not one of ours", job.JobName)
		}
		for _, s := range job.StaticConfigs {
			got = append(got, s.Targets...)
		}
	}
	for name, service := range project.Services {
		listen := flagOf(service.Command, "--metrics-listen")
		if listen == "" {
			listen = flagOf(service.Command, "--listen")
		}
		if listen != "" {
			_, port, err := net.SplitHostPort(listen)
			if err != nil {
				t.Error(err)
			}
			want = append(want, net.JoinHostPort(name, port))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("prometheus asks %q, and %q have metrics", got, want)
	}

	var sources struct {
		Datasources []struct{ UID, Type, URL string }
	}
	readYAML(t, grafana["/etc/grafana/provisioning/datasources/prometheus.yml"], &sources)
	if len(sources.Datasources) != 1 || sources.Datasources[0].Type != "prometheus" || sources.Datasources[0].URL != "http://prometheus:9090" {
		t.Fatalf("data sources: %+v", sources)
	}
	var providers struct {
		Providers []struct{ Options struct{ Path string } }
	}
	readYAML(t, grafana["/etc/grafana/provisioning/dashboards/potok.yml"], &providers)
	env := project.Services["grafana"].Environment
	home := env["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
	if len(providers.Providers) != 1 || home == nil || path.Dir(*home) != providers.Providers[0].Options.Path {
		t.Fatalf("dashboards: %+v, home: %v", providers, home)
	}
	var dashboard struct {
		Templating struct {
			List []struct {
				Name    string
				Current struct{ Value any }
			}
		}
	}
	if err := json.Unmarshal([]byte(readFile(t, grafana[*home])), &dashboard); err != nil {
		t.Fatal(err)
	}
	if v := dashboard.Templating.List; len(v) == 0 || v[0].Name != "datasource" || v[0].Current.Value != sources.Datasources[0].UID {
		t.Errorf("the dashboard asks %+v, the data source is %q", v, sources.Datasources[0].UID)
	}
}

// mounted returns the files of a service's configs, by their path in the container.
func mounted(t *testing.T, project *types.Project, name string) map[string]string {
	t.Helper()
	service, err := project.GetService(name)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, c := range service.Configs {
		file, err := filepath.Rel(project.WorkingDir, project.Configs[c.Source].File)
		if err != nil || !strings.HasPrefix(filepath.ToSlash(file), "deploy/") {
			t.Errorf("%s: config %s is %q: %v", name, c.Source, file, err)
		}
		readFile(t, file)
		files[c.Target] = file
	}
	return files
}

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(readFile(t, file)), into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// TestAlerts wants each alert to say how bad it is, what is the matter and what to do about it.
func TestAlerts(t *testing.T) {
	t.Parallel()
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert       string
				Expr        string
				For         string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	readYAML(t, "deploy/prometheus/alerts.yml", &file)
	seen := map[string]bool{}
	for _, group := range file.Groups {
		if group.Name == "" || len(group.Rules) == 0 {
			t.Errorf("group %q has %d rules", group.Name, len(group.Rules))
		}
		for _, r := range group.Rules {
			if !strings.HasPrefix(r.Alert, "Potok") || seen[r.Alert] || strings.TrimSpace(r.Expr) == "" {
				t.Errorf("alert %q: named twice: %v, expression %q", r.Alert, seen[r.Alert], r.Expr)
			}
			seen[r.Alert] = true
			if r.For != "" && !regexp.MustCompile(`^\d+[mh]$`).MatchString(r.For) {
				t.Errorf("%s: for %q", r.Alert, r.For)
			}
			if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
				t.Errorf("%s: severity %q", r.Alert, r.Labels["severity"])
			}
			for _, name := range []string{"summary", "description"} {
				if text := r.Annotations[name]; text == "" || strings.Count(text, "{{") != strings.Count(text, "}}") {
					t.Errorf("%s: %s %q", r.Alert, name, text)
				}
			}
		}
	}
	if len(seen) == 0 {
		t.Error("there are no alerts")
	}
}
