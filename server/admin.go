package server

import (
	_ "embed"
	"net/http"
	"net/http/pprof"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/token"
)

// openAPI is the description of the contract, OpenAPI 3.0.3.
//
//go:embed openapi.json
var openAPI []byte

const (
	mimeText = "text/plain; charset=utf-8"
	mimeProm = "text/plain; version=0.0.4; charset=utf-8"
)

// allPages returns the pages of the data listener by path.
func (s *Server) allPages() map[string]func() (int, string, []byte) {
	pages := map[string]func() (int, string, []byte){
		"/healthz":      func() (int, string, []byte) { return http.StatusOK, mimeText, []byte("ok\n") },
		"/readyz":       s.readyPage,
		"/openapi.json": func() (int, string, []byte) { return http.StatusOK, "application/json", openAPI },
	}
	if own, ok := s.cfg.Verifier.(issuerSource); ok {
		pages["/.well-known/jwks.json"] = func() (int, string, []byte) { return jwksPage(own) }
	}
	if s.cfg.Metrics {
		pages["/metrics"] = s.metricsPage
	}
	return pages
}

func (s *Server) page(path string) func() (int, string, []byte) { return s.pages[path] }

func (s *Server) metricsPage() (int, string, []byte) {
	return http.StatusOK, mimeProm, s.metrics.text()
}

// issuerSource is a Verifier with a built-in issuer.
type issuerSource interface {
	OwnIssuer() (info keys.IssuerInfo, ok bool)
}

var _ issuerSource = (*token.Verifier)(nil)

// jwksPage is the built-in issuer's public keys, for services that trust its tokens.
func jwksPage(own issuerSource) (int, string, []byte) {
	info, ok := own.OwnIssuer()
	if !ok {
		return http.StatusNotFound, mimeText, []byte("this server has no issuer of its own\n")
	}
	return http.StatusOK, "application/json", token.JWKS(info)
}

func (s *Server) readyPage() (int, string, []byte) {
	if err := s.Ready(); err != nil {
		return http.StatusServiceUnavailable, mimeText, []byte(err.Error() + "\n")
	}
	return http.StatusOK, mimeText, []byte("ready\n")
}

// Admin is the handler of the admin listener: /healthz, /readyz, /metrics,
// /openapi.json, and with Config.Pprof the profiles under /debug/pprof/. It is
// for operators: bind it where clients do not come.
func (s *Server) Admin() http.Handler {
	mux := http.NewServeMux()
	pages := s.allPages()
	pages["/metrics"] = s.metricsPage
	for path, page := range pages {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			status, mime, body := page()
			h := w.Header()
			h.Set("Content-Type", mime)
			h.Set("Cache-Control", "no-store")
			h.Set("X-Content-Type-Options", "nosniff")
			w.WriteHeader(status)
			_, _ = w.Write(body)
		})
	}
	if s.cfg.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}
