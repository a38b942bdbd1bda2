package server

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// limitedLog writes at most logBurst lines a second, so that clients cannot fill the disk
// with refusals, and then one line with the number of lines left out.
type limitedLog struct {
	l       *slog.Logger
	mu      sync.Mutex
	second  int64
	lines   int
	skipped int
}

const logBurst = 100

func newLimitedLog(l *slog.Logger) *limitedLog { return &limitedLog{l: l} }

func (l *limitedLog) allow() bool {
	now := time.Now().Unix()
	l.mu.Lock()
	defer l.mu.Unlock()
	if now != l.second {
		if l.skipped > 0 {
			l.l.Warn("log lines left out", "count", l.skipped)
		}
		l.second, l.lines, l.skipped = now, 0, 0
	}
	if l.lines++; l.lines > logBurst {
		l.skipped++
		return false
	}
	return true
}

func (l *limitedLog) Warn(msg string, args ...any) {
	if l.allow() {
		l.l.Warn(msg, args...)
	}
}

func (l *limitedLog) Error(msg string, args ...any) {
	if l.allow() {
		l.l.Error(msg, args...)
	}
}

// logRequest writes the log line of one request, which holds no value.
func (s *Server) logRequest(c *call, path string, outcome code, took time.Duration) {
	level := slog.LevelInfo
	if problems[outcome].status >= 500 {
		level = slog.LevelWarn
	}
	if !s.log.l.Enabled(context.Background(), level) || !s.cfg.AccessLog && !s.log.allow() {
		return
	}
	s.log.l.LogAttrs(context.Background(), level, "request",
		slog.String("request", string(c.id)),
		slog.String("path", path), // a constant, not text of the client
		slog.Int("status", problems[outcome].status),
		slog.String("code", outcome.String()),
		slog.Int64("values", c.values),
		slog.Int("bad", c.errCount),
		slog.Int64("took_us", took.Microseconds()),
	)
}
