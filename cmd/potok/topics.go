package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/potok-streams/potok/internal/topology"
)

func (p *program) topics() *cobra.Command {
	var c connection
	check := false
	output := "table"
	cmd := &cobra.Command{
		Use:   "topics",
		Short: "Show the topics that Potok needs, and make those that are missing",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.complete(p.getenv); err != nil {
				return err
			}
			if output != "table" && output != "json" {
				return fmt.Errorf("%w: -o %q: use table or json", errUse, output)
			}
			if !check {
				if err := c.prepare(cmd.Context(), p); err != nil {
					return err
				}
			} else if err := c.kafka.Ping(cmd.Context(), connectTimeout); err != nil {
				return err
			}
			m, err := topology.NewManager(cmd.Context(), c.topics, c.kafka)
			if err != nil {
				return err
			}
			defer m.Close()
			findings, err := m.Check(cmd.Context())
			if err != nil {
				return err
			}
			p.showTopics(m.Config(), findings, output)
			if len(findings) > 0 {
				return errDifference
			}
			return nil
		},
	}
	f := cmd.Flags()
	c.flags(f)
	f.BoolVar(&check, "check", false, "make nothing, only check; exit code 3 if something is wrong")
	f.StringVarP(&output, "output", "o", output, "table or json")
	return cmd
}

func (p *program) showTopics(cfg topology.Config, findings []topology.Finding, output string) {
	if output == "json" {
		e := json.NewEncoder(p.stdout)
		e.SetIndent("", "  ")
		_ = e.Encode(map[string]any{"topics": cfg.Topics(), "findings": append([]topology.Finding{}, findings...)}) // never null
		return
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TOPIC\tKIND\tREAD BY")
	for _, t := range cfg.Topics() {
		fmt.Fprintf(w, "%s\t%s\t%s\n", t.Name, t.Kind, strings.Join(t.Readers, ", "))
	}
	w.Flush()
	for _, f := range findings {
		fmt.Fprintln(p.stdout, f)
	}
}

func (p *program) health() *cobra.Command {
	url, caFile := "", ""
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a running potok whether it is well, for container health checks",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := trust(caFile)
			if err != nil {
				return err
			}
			client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: cfg}}
			resp, err := client.Get(url)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%s says %s", url, resp.Status)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&url, "url", "http://127.0.0.1:8080/readyz", "what to ask")
	caFileFlag(f, &caFile)
	return cmd
}
