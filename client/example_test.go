package client_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/velonym/velonym/client"
)

func ExampleClient_Pseudonymise() {
	// In place of https://psn.example.org.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"data":["dWasald1a5dSdBdDcRecanbkaLckcFad"]}`)
	}))
	defer server.Close()

	c, err := client.New(client.Config{URL: server.URL, Token: []byte("eyJ…")})
	if err != nil {
		log.Fatal(err)
	}
	pseudonyms, err := c.Pseudonymise(context.Background(), []string{"1973080520045", ""})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q\n", pseudonyms)
	// Output: ["dWasald1a5dSdBdDcRecanbkaLckcFad" ""]
}
