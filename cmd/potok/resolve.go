package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// kafkaNames are the environment names that the field has for some of our flags; POTOK_… goes before them.
var kafkaNames = map[string]string{ //nolint:gochecknoglobals // a constant table
	"bootstrap-servers": "KAFKA_BOOTSTRAP_SERVERS",
	"security-protocol": "KAFKA_SECURITY_PROTOCOL",
	"sasl-mechanism":    "KAFKA_SASL_MECHANISM",
	"sasl-username":     "KAFKA_SASL_USERNAME",
}

// resolve gives every flag that is not on the command line its value from the environment, else from the configuration
// file. What is in neither keeps its default.
func (p *program) resolve(flags *pflag.FlagSet) error {
	if v := p.getenv("POTOK_CONFIG"); v != "" && !flags.Changed("config") {
		p.configFile = v
	}
	file, err := readSettings(p.configFile)
	if err != nil {
		return err
	}
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" || f.Name == "config" {
			delete(file, f.Name)
			return
		}
		value, from := p.getenv(envName(f.Name)), envName(f.Name)
		if name, ok := kafkaNames[f.Name]; ok && value == "" {
			value, from = p.getenv(name), name
		}
		if v, ok := file[f.Name]; ok {
			if value == "" {
				value, from = v, p.configFile
			}
			delete(file, f.Name)
		}
		if value == "" {
			return
		}
		if err := f.Value.Set(value); err != nil {
			errs = append(errs, fmt.Errorf("%s from %s: %w", f.Name, from, err))
		}
	})
	return errors.Join(errs...)
}

// envName is the environment's name of a flag.
func envName(flag string) string {
	return "POTOK_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// readSettings reads a configuration file. One file may serve all commands: settings that a command does not have are not
// looked at, but each must be some command's, so that a slip of the pen does not go unnoticed.
func readSettings(path string) (map[string]string, error) {
	if path == "" {
		return map[string]string{}, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read --config: %w", err)
	}
	var raw map[string]any
	if err := yaml.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("read --config %s: %w", path, err)
	}
	known := map[string]bool{}
	all := (&program{getenv: func(string) string { return "" }}).root()
	visitFlags(all, func(name string) { known[name] = true })
	settings := map[string]string{}
	var errs []error
	for name, v := range raw {
		if !known[name] || name == "config" {
			errs = append(errs, fmt.Errorf("%s: no command has a setting %q", path, name))
			continue
		}
		switch v := v.(type) {
		case []any:
			var parts []string
			for _, e := range v {
				parts = append(parts, fmt.Sprint(e))
			}
			settings[name] = strings.Join(parts, ",")
		case map[string]any, nil:
			errs = append(errs, fmt.Errorf("%s: %s must be a value or a list of values", path, name))
		default:
			settings[name] = fmt.Sprint(v)
		}
	}
	return settings, errors.Join(errs...)
}
