package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Exit codes.
const (
	exitDone       = 0
	exitFailed     = 1
	exitWrongUse   = 2
	exitDifference = 3
)

// errUse marks an error as wrong use of the command line.
var errUse = errors.New("wrong use")

// errDifference is what verify, doctor and --check end with when they found something; they have said what.
var errDifference = errors.New("found a difference")

// program is what every command gets.
type program struct {
	getenv func(string) string
	stdout io.Writer
	stderr io.Writer
	log    *slog.Logger

	configFile string
	logLevel   string
	logFormat  string
	lang       string
}

// run runs the program and returns its exit code.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	p := &program{getenv: getenv, stdout: stdout, stderr: stderr}
	root := p.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errDifference):
		return exitDifference
	case errors.Is(err, errUse):
		fmt.Fprintf(stderr, "potok: %s\n", strings.TrimPrefix(err.Error(), errUse.Error()+": "))
		return exitWrongUse
	default:
		fmt.Fprintf(stderr, "potok: %v\n", err)
		return exitFailed
	}
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "potok",
		Short:         "Joins users with what they do, counts it exactly, and serves the counts",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := root.PersistentFlags()
	f.StringVar(&p.configFile, "config", "", "YAML `file` with settings, named like the flags without the dashes in front")
	f.StringVar(&p.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&p.logFormat, "log-format", "", "text or json; text on a terminal and json elsewhere by default")
	f.StringVar(&p.lang, "lang", "en", "language of what people read in the terminal: en or ru")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUse, err) })
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := p.resolve(cmd.Flags()); err != nil {
			return fmt.Errorf("%w: %w", errUse, err)
		}
		return p.openLog()
	}
	root.AddCommand(p.demo(), p.emit(), p.process(), p.view(), p.runAll(), p.broker(), p.query(), p.watch(), p.dlq(), p.verify(), p.doctor(), p.reset(), p.topics(), p.bench(), p.health(), p.version())
	wrongUse(root)
	return root
}

// wrongUse makes cobra's complaints about arguments ours.
func wrongUse(cmd *cobra.Command) {
	args := cmd.Args
	if args == nil {
		args = cobra.NoArgs
	}
	cmd.Args = func(cmd *cobra.Command, a []string) error {
		if err := args(cmd, a); err != nil {
			return fmt.Errorf("%w: %w", errUse, err)
		}
		return nil
	}
	for _, sub := range cmd.Commands() {
		wrongUse(sub)
	}
}

func (p *program) openLog() error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(p.logLevel)); err != nil {
		return fmt.Errorf("%w: --log-level %q: use debug, info, warn or error", errUse, p.logLevel)
	}
	if p.lang != "en" && p.lang != "ru" {
		return fmt.Errorf("%w: --lang %q: use en or ru", errUse, p.lang)
	}
	format := p.logFormat
	if format == "" {
		format = "json"
		if isTerminal(p.stderr) {
			format = "text"
		}
	}
	opts := &slog.HandlerOptions{Level: level}
	switch format {
	case "text":
		p.log = slog.New(slog.NewTextHandler(p.stderr, opts))
	case "json":
		p.log = slog.New(slog.NewJSONHandler(p.stderr, opts))
	default:
		return fmt.Errorf("%w: --log-format %q: use text or json", errUse, format)
	}
	return nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
