package views

import (
	"bytes"
	"context"
	"errors"
	"unicode/utf8"
)

const (
	maxID = 4 << 10 // bytes; longer ids are rejected where they come in
	// pageBytes is about how much JSON a page may have: rows can be large, so a page may have fewer than limit.
	pageBytes = 16 << 20
)

var (
	errNoUser = errors.New("neither a user nor an event with this user_id is known")
	errText   = errors.New("q must be UTF-8")
)

type listUsersInput struct {
	Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Most rows on a page; a page of very large rows has fewer"`
	Cursor  string `query:"cursor" doc:"next_cursor of the page before, with the same sort, q and include"`
	Sort    Sort   `query:"sort" enum:"-event_count,event_count,user_id,name,-last_event_at" default:"-event_count" doc:"Ties go by user_id; names by code point"`
	Q       string `query:"q" maxLength:"1000" doc:"Part of name, email or id, without regard to case"`
	Include string `query:"include" enum:"all" doc:"all: users without events and events without a user, too"`
	Marks   string `query:"marks" enum:"1" doc:"1: with the rows' marks"`
}

// UsersPage is the body of /v1/users.
type UsersPage struct {
	Users      []User `json:"users" nullable:"false"`
	NextCursor string `json:"next_cursor,omitempty" doc:"Absent on the last page"`
}

func (s *Server) listUsers(ctx context.Context, in *listUsersInput) (*reply[rendered[UsersPage]], error) {
	if !utf8.ValidString(in.Q) {
		return nil, errText
	}
	l := listing{by: in.Sort, all: in.Include == "all", match: newFinder(in.Q), limit: in.Limit, cost: s.metrics.pageCost(in.Q != "")}
	tag := cursorTag(l.by, l.all, in.Q)
	if in.Cursor != "" {
		after, err := decodeCursor(l.by, tag, in.Cursor)
		if err != nil {
			return nil, err
		}
		l.after = after
	}
	rows, more, err := s.cfg.Index.list(ctx, l)
	if err != nil {
		return nil, err
	}
	page := append(make([]byte, 0, 300*len(rows)+64), `{"users":[`...)
	for i := range rows {
		if page, err = s.rows.element(page, &rows[i], in.Marks != ""); err != nil {
			return nil, err
		}
		if len(page) > pageBytes && i < len(rows)-1 {
			rows, more = rows[:i+1], true
			break
		}
	}
	page = append(bytes.TrimSuffix(page, []byte(",")), ']')
	if more {
		page = appendText(append(page, `,"next_cursor":`...), encodeCursor(l.by, tag, &rows[len(rows)-1]))
	}
	return ok(rendered[UsersPage]{append(page, "}\n"...)}, nil)
}

type userInput struct {
	UserID string `path:"user_id" doc:"Percent-encoded; . and .. as %2E and %2E%2E"`
	Marks  string `query:"marks" enum:"1" doc:"1: with the row's marks"`
}

type emptyUserInput struct {
	Marks string `query:"marks" enum:"1" doc:"1: with the row's marks"`
}

func (s *Server) getUser(_ context.Context, in *userInput) (*reply[rendered[User]], error) {
	return ok(s.user(in.UserID, in.Marks != ""))
}

func (s *Server) getEmptyUser(_ context.Context, in *emptyUserInput) (*reply[rendered[User]], error) {
	return ok(s.user("", in.Marks != ""))
}

func (s *Server) user(id string, marks bool) (u rendered[User], err error) {
	if len(id) > maxID || !utf8.ValidString(id) {
		return u, errNoUser // no such id gets in
	}
	row, known := s.cfg.Index.latest(id)
	if !known || !row.known && row.count == 0 {
		return u, errNoUser
	}
	text, err := s.rows.append(nil, &row, marks)
	if err == nil && text == nil {
		err = errNoUser
	}
	if err != nil {
		return u, err
	}
	return rendered[User]{append(text, '\n')}, nil
}
