package server

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// openAPIRouter returns a router of the served OpenAPI document, which it has validated.
var openAPIRouter = sync.OnceValues(func() (routers.Router, error) {
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, err
	}
	bytesBody := func(r io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
		b, err := io.ReadAll(r)
		return string(b), err
	}
	openapi3filter.RegisterBodyDecoder("text/csv", bytesBody)
	openapi3filter.RegisterBodyDecoder("application/vnd.apache.arrow.stream", bytesBody)
	return gorillamux.NewRouter(doc)
})

// checkOpenAPI compares a request and its answer with the OpenAPI document. Paths and
// methods that the document does not have must have been refused.
func checkOpenAPI(t testing.TB, req *http.Request, res *http.Response, body []byte) {
	t.Helper()
	router, err := openAPIRouter()
	if err != nil {
		t.Fatal("the OpenAPI document: ", err)
	}
	at := *req
	at.URL = &url.URL{Path: req.URL.Path}
	route, params, err := router.FindRoute(&at)
	if err != nil {
		if res.StatusCode < 400 && req.Method != http.MethodOptions {
			t.Errorf("%s %s is answered and is not in the OpenAPI document", req.Method, req.URL.Path)
		}
		return
	}
	if res.Header.Get("Content-Encoding") != "" || len(body) > 1<<20 {
		return // other tests send the same content uncompressed
	}
	in := &openapi3filter.RequestValidationInput{Request: &at, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: res.StatusCode, Header: res.Header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true}}
	out.SetBodyBytes(body)
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		t.Errorf("%s %s, status %d: the answer does not match the OpenAPI document: %v", req.Method, req.URL.Path, res.StatusCode, err)
	}
	// The document must allow a request that was answered.
	if res.StatusCode != http.StatusOK || req.GetBody == nil || req.Header.Get("Content-Encoding") != "" {
		return
	}
	b, err := req.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	sent, err := io.ReadAll(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(sent) == 0 || len(sent) > 1<<20 {
		return // CSV without values is allowed, which the document cannot express
	}
	at.Body = io.NopCloser(bytes.NewReader(sent))
	at.Header = req.Header.Clone()
	if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
		t.Errorf("%s %s was answered and does not match the OpenAPI document: %v", req.Method, req.URL.Path, err)
	}
}
