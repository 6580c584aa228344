package terminal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/potok-streams/potok/views/client"
)

const (
	redrawEvery = 100 * time.Millisecond
	askEvery    = 500 * time.Millisecond // shortest time between two questions for the users
	totalsEvery = 2 * time.Second
	askTimeout  = 15 * time.Second
	defaultRows = 20
	maxRows     = 1000 // of a page
)

// Options say what [Watch] shows, and where.
type Options struct {
	Client *client.Client
	Out    io.Writer
	Lang   string        // en (the default) or ru
	Note   func() string // the last line of the screen, asked for all the time; nil: none
	Log    *slog.Logger  // told about the connection unless it is seen on the screen; nil: nobody is told

	// Tables one after the other, for what is not a terminal:
	Interval time.Duration // shortest time between two, default 1 s
	Rows     int           // most users, up to 1,000; default 20

	// The screen, see [Options.Attach]:
	Interactive bool
	Color       bool
	Size        func() (columns, height int, err error)
	Keys        io.Reader // q and Ctrl-C end it; nil: only the context does
}

// Attach makes it interactive if out is a terminal; keys are read from in if that is one, too. detach gives the terminal
// back its modes and must be called after Watch. Whatever else writes to the terminal meanwhile spoils the picture until
// Ctrl-L.
func (o *Options) Attach(in *os.File, out io.Writer) (detach func()) {
	o.Out = out
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	o.Interactive = true
	o.Size = func() (int, int, error) { return term.GetSize(int(f.Fd())) }
	if in == nil || !term.IsTerminal(int(in.Fd())) {
		return func() {}
	}
	state, err := term.MakeRaw(int(in.Fd())) // Ctrl-C is a key now
	if err != nil {
		return func() {}
	}
	o.Keys = in
	return func() { _ = term.Restore(int(in.Fd()), state) } // the terminal has gone
}

// Watch shows both results as they change until ctx ends or somebody presses q: nil both times. Lost connections are made
// again; an error means that this makes no sense, or that Out takes nothing any more. Memory does not grow with the
// tables: the stream says that something changed, and the users who made the most events are asked for, at most twice a
// second. Keys goes on being read until it next gives something.
func Watch(ctx context.Context, o Options) error {
	if o.Client == nil || o.Out == nil || o.Interactive && o.Size == nil {
		return errors.New("watch: Client, Out and, on a screen, Size are needed")
	}
	if o.Interval <= 0 {
		o.Interval = time.Second
	}
	if o.Rows <= 0 {
		o.Rows = defaultRows
	}
	if o.Log == nil || o.Interactive {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{
		o: o, labels: labelsOf(o.Lang), model: model{server: o.Client.URL()}, rows: min(o.Rows, maxRows),
		changed: make(chan struct{}, 1), news: make(chan struct{}, 1),
	}
	failed := make(chan error, 1)
	var tasks sync.WaitGroup
	tasks.Go(func() { failed <- w.follow(ctx) })
	tasks.Go(func() { w.ask(ctx) })
	if o.Interactive && o.Keys != nil {
		go w.readKeys(o.Keys, cancel)
	}
	defer tasks.Wait()
	defer cancel()
	if o.Interactive {
		return w.drawAll(ctx, failed)
	}
	return w.printAll(ctx, failed)
}

type watcher struct {
	o       Options
	labels  labels
	changed chan struct{} // the users are to be asked for
	news    chan struct{} // the model has changed

	mu      sync.Mutex
	model   model
	rows    int
	redraw  bool
	version int
}

// signal makes a channel of one place ready.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (w *watcher) update(f func(m *model)) {
	w.mu.Lock()
	f(&w.model)
	w.version++
	w.mu.Unlock()
	signal(w.news)
}

// follow reads the stream. The rows that have changed need not be those that are in sight, which are asked for: a new
// connection is a change, too, so nothing is missed without the others.
func (w *watcher) follow(ctx context.Context) error {
	connection := client.OnConnection(func(live bool, reason error) {
		text := ""
		if reason != nil {
			text = reason.Error()
			w.o.Log.Warn("connection lost, reconnecting", "server", w.o.Client.URL(), "error", reason)
		} else {
			w.o.Log.Info("connected", "server", w.o.Client.URL())
		}
		w.update(func(m *model) { m.live, m.connected, m.reason = live, m.connected || live, text })
		if live {
			signal(w.changed)
		}
	})
	for e, err := range w.o.Client.Events(ctx, "", connection, client.WithoutSnapshot(), client.WithoutRows()) {
		if err != nil {
			return err
		}
		switch e.Name {
		case "users":
			signal(w.changed)
		case "event-types":
			u, err := client.Decode(e)
			if err != nil {
				return err
			}
			w.update(func(m *model) { m.types = u.EventTypes })
		}
	}
	return nil
}

// ask keeps up what the stream does not bring, while there is a connection.
func (w *watcher) ask(ctx context.Context) {
	slow := time.NewTicker(totalsEvery)
	defer slow.Stop()
	first := true
	for {
		users, totals := false, first
		select {
		case <-ctx.Done():
			return
		case <-w.changed:
			users = true
		case <-slow.C:
			totals = w.o.Interactive
		}
		w.mu.Lock()
		live, rows := w.model.live, w.rows
		w.mu.Unlock()
		if !live {
			continue
		}
		first = false
		w.askOnce(ctx, users, totals, rows)
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(askEvery, w.o.Interval)):
		}
	}
}

func (w *watcher) askOnce(ctx context.Context, users, totals bool, rows int) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if users {
		page, err := w.o.Client.Users(ctx, client.UsersQuery{Limit: rows})
		if err != nil {
			signal(w.changed) // the stream knows whether there is a connection
		} else {
			page.Body = nil
			w.update(func(m *model) { m.users = &page })
		}
	}
	if !totals || !w.o.Interactive {
		return
	}
	if stats, err := w.o.Client.Stats(ctx); err == nil {
		w.update(func(m *model) { m.stats = &stats })
	}
	if t, err := w.o.Client.Throughput(ctx); err == nil {
		w.update(func(m *model) { m.topics = t.Topics })
	}
}

func (w *watcher) readKeys(keys io.Reader, quit func()) {
	key := make([]byte, 64)
	for {
		n, err := keys.Read(key)
		if err != nil {
			return
		}
		if bytes.ContainsAny(key[:n], "\x03qQйЙ") { // й is on the same key as q
			quit()
			return
		}
		if bytes.ContainsRune(key[:n], '\f') {
			w.mu.Lock()
			w.redraw = true
			w.mu.Unlock()
		}
	}
}

// drawAll draws on the screen. It asks for the size at every turn, which costs little and works everywhere, where a signal
// would not.
func (w *watcher) drawAll(ctx context.Context, failed <-chan error) (err error) {
	s := &screen{out: w.o.Out, color: w.o.Color}
	if err := s.enter(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.leave()) }()
	tick := time.NewTicker(redrawEvery)
	defer tick.Stop()
	drawn, note := -1, ""
	for {
		columns, height, err := w.o.Size()
		if err != nil || columns <= 0 || height <= 0 {
			columns, height = 80, 24
		}
		w.mu.Lock()
		m, version, redraw := w.model, w.version, w.redraw
		if rows := min(height, maxRows); w.rows != rows {
			if w.rows < rows {
				signal(w.changed)
			}
			w.rows = rows
		}
		w.redraw = false
		w.mu.Unlock()
		if w.o.Note != nil {
			m.note = w.o.Note()
		}
		if redraw {
			s.forget()
		}
		if redraw || version != drawn || m.note != note || columns != s.columns || height != s.height {
			if err := s.draw(frame(&m, w.labels, columns-1, height), columns, height); err != nil {
				return err
			}
			drawn, note = version, m.note
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			if err != nil {
				return err
			}
			failed = nil
		case <-tick.C:
		}
	}
}

// printAll prints the tables whenever they have changed.
func (w *watcher) printAll(ctx context.Context, failed <-chan error) error {
	printed := ""
	show := func() (shown bool, err error) {
		w.mu.Lock()
		m := w.model
		w.mu.Unlock()
		text, err := tables(&m, w.labels)
		if err != nil || text == printed {
			return false, err
		}
		printed = text
		_, err = io.WriteString(w.o.Out, text)
		return true, err
	}
	for {
		select {
		case <-ctx.Done():
			_, err := show()
			return err
		case err := <-failed:
			if err != nil {
				return err
			}
			failed = nil
		case <-w.news:
			shown, err := show()
			if err != nil {
				return err
			}
			if !shown {
				continue
			}
			select {
			case <-ctx.Done():
			case <-time.After(w.o.Interval):
			}
		}
	}
}

// tables returns both results as text, or nothing while one of them is not there yet.
func tables(m *model, l labels) (string, error) {
	if m.users == nil || m.types == nil {
		return "", nil
	}
	var b strings.Builder
	b.WriteString(l.users + "\n")
	rows := make([][]string, len(m.users.Users))
	for i, u := range m.users.Users {
		rows[i] = userCells(u)
	}
	if err := NewTable(userColumns()...).Write(&b, rows); err != nil {
		return "", err
	}
	if m.users.NextCursor != "" {
		b.WriteString("…\n")
	}
	b.WriteString("\n" + l.types + "\n")
	rows = make([][]string, len(m.types.Types))
	for i, t := range m.types.Types {
		rows[i] = []string{t.Event, uitoa(t.Count)}
	}
	if err := NewTable(Column{Name: "event"}, Column{Name: "count", Right: true}).Write(&b, rows); err != nil {
		return "", err
	}
	b.WriteString("\n")
	return b.String(), nil
}

func uitoa(n uint64) string { return strconv.FormatUint(n, 10) }

func orDash(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}
