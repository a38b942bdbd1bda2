package engine_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/velonym/velonym/engine"
	"github.com/velonym/velonym/engine/keys/sqlite"
)

// This example opens a store, verifies a token, transforms a batch and reverses it. It is one
// function since godoc shows it as a whole.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "velonym")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	// Once: a master key, a store and a project.
	if err := engine.NewMasterKeyFile(filepath.Join(dir, "master.key")); err != nil {
		log.Fatal(err)
	}
	store, err := sqlite.Create(filepath.Join(dir, "keystore.db"))
	if err != nil {
		log.Fatal(err)
	}
	e, err := engine.Open(ctx, engine.Config{Store: store, MasterKey: filepath.Join(dir, "master.key")})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	if err := e.CreateProject(ctx, engine.NewProject("heart-study", time.Now().AddDate(5, 0, 0))); err != nil {
		log.Fatal(err)
	}

	// A token permits its holder to pseudonymise.
	token, _, err := e.CreateToken(ctx, engine.TokenRequest{Project: "heart-study", TTL: 24 * time.Hour})
	if err != nil {
		log.Fatal(err)
	}

	// For every request: verify the token and charge its budget.
	grant, err := e.Verify(ctx, token, engine.OpsForward)
	if err != nil {
		log.Fatal(err)
	}
	defer grant.Release()

	pseudonyms, err := grant.Pseudonymise(ctx, []string{"Example PID 1", ""})
	if err != nil {
		log.Fatal(err)
	}

	// A batch holds many values in one arena, without a string for each. The last two are
	// identifiers of the same person.
	var batch engine.Batch
	for _, id := range []string{"Example PID 1", "Example PID 2", "Example PID 2"} {
		batch.Append(id)
	}
	if err := grant.Spend(ctx, len(batch.Spans)/2); err != nil {
		log.Fatal(err)
	}
	grant.Plan.Transform(&batch)

	pseudonym := func(i int) string { return string(batch.Result(i)) }
	fmt.Println("characters:", len(pseudonym(0)))
	fmt.Println("both ways agree:", pseudonym(0) == pseudonyms[0], "and an empty value stays so:", pseudonyms[1] == "")
	fmt.Println("different people differ:", pseudonym(0) != pseudonym(1))
	fmt.Println("the same person does not:", pseudonym(1) == pseudonym(2))

	// The operator's own process may reverse without a token.
	back, err := e.Local(ctx, engine.LocalRequest{Project: "heart-study", Op: "reverse"})
	if err != nil {
		log.Fatal(err)
	}
	defer back.Release()
	reversed := engine.Batch{Src: batch.Dst, Spans: batch.Out}
	back.Plan.Transform(&reversed)
	fmt.Println("reversed:", string(reversed.Dst))

	// The token does not reverse.
	_, err = e.Verify(ctx, token, engine.OpsReverse)
	fmt.Println(err)

	// Output:
	// characters: 32
	// both ways agree: true and an empty value stays so: true
	// different people differ: true
	// the same person does not: true
	// reversed: Example PID 1Example PID 2Example PID 2
	// token: the token is for another operation than this endpoint's: /api/request-psn takes pseudonymise and secondary, /api/request-psn-rev takes reverse
}
