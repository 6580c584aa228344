// Package page is Potok's page: plain HTML, CSS and JavaScript modules, embedded, without another host.
package page

import (
	"embed"
	"fmt"
	"path"
)

// Index is the document; the other files are what it loads, from the path page/ beside it.
const Index = "index.html"

//go:embed static
var static embed.FS

// Each calls serve with every file.
func Each(serve func(name, contentType string, content []byte)) error {
	types := map[string]string{
		".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
		".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
	}
	files, err := static.ReadDir("static")
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	for _, f := range files {
		content, err := static.ReadFile("static/" + f.Name())
		if err != nil {
			return fmt.Errorf("page: %w", err)
		}
		serve(f.Name(), types[path.Ext(f.Name())], content)
	}
	return nil
}
