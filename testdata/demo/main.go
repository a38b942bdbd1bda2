// Command demo runs and prints the commands of a complete pseudonymisation in a temporary
// folder, for newcomers to learn them:
//
//	make demo
//
// It needs the velonym binary, testdata/patients.csv and a free loopback port. It removes
// its files, and exits with 1 if a result is not as expected.
package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

func main() {
	binary := flag.String("velonym", "bin/velonym", "the velonym binary")
	input := flag.String("input", "testdata/patients.csv", "the register to pseudonymise")
	flag.Parse()
	if err := demo(*binary, *input); err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

// stage holds the binary and the temporary folder of the demo.
type stage struct {
	binary, dir string
}

func demo(binary, input string) (err error) {
	binary, err = filepath.Abs(binary)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "velonym-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := stage{binary, dir}
	original, err := os.ReadFile(input)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path("patients.csv"), original, 0o600); err != nil {
		return err
	}

	say("1. A keystore, its master key and an issuer's key, in a folder of their own")
	if err := s.sh("init"); err != nil {
		return err
	}
	say("2. A project: reversible pseudonyms, and the day on which its keys are destroyed")
	if err := s.sh("project", "create", "demo", "--retention", "5y"); err != nil {
		return err
	}
	say("3. Signed tokens that state what may be done: one to pseudonymise, one to reverse")
	for op, file := range map[string]string{"pseudonymise": "token", "reverse": "token-rev"} {
		if err := s.shTo(file, "token", "create", "--project", "demo", "--op", op, "--ttl", "1h"); err != nil {
			return err
		}
	}
	if err := s.sh("token", "inspect", "token"); err != nil {
		return err
	}
	say("4. Pseudonymise two columns of a register; every other byte stays as it is")
	if err := s.sh("run", "--token-file", "token", "--column", "national_id", "--column", "referrer_id", "-o", "pseudonyms.csv", "patients.csv"); err != nil {
		return err
	}
	if err := s.show("patients.csv", "pseudonyms.csv"); err != nil {
		return err
	}
	say("5. Reverse it, and compare byte for byte with the original")
	if err := s.sh("run", "--token-file", "token-rev", "--column", "national_id", "--column", "referrer_id", "-o", "back.csv", "pseudonyms.csv"); err != nil {
		return err
	}
	back, err := os.ReadFile(s.path("back.csv"))
	if err != nil {
		return err
	}
	if !bytes.Equal(back, original) {
		return errors.New("the reversed file is not the original")
	}
	fmt.Printf("identical: %d bytes\n", len(back))
	say("6. The same over HTTP, with the documented calls")
	if err := s.http(); err != nil {
		return err
	}
	say("Done. The temporary folder and its keys are gone.")
	return nil
}

func say(line string) { fmt.Printf("\n== %s\n", line) }

func (s stage) path(name string) string { return filepath.Join(s.dir, name) }

// command makes one call of the binary that runs in the demo's folder.
func (s stage) command(args ...string) *exec.Cmd {
	cmd := exec.Command(s.binary, args...)
	cmd.Dir = s.dir
	// The demo must not touch the user's keystore.
	cmd.Env = append(os.Environ(), "VELONYM_DIR="+s.path("keys"), "VELONYM_KEYSTORE=", "VELONYM_MASTER_KEY=", "VELONYM_TOKEN=")
	return cmd
}

// sh prints a command as a user would type it, and runs it.
func (s stage) sh(args ...string) error {
	fmt.Printf("$ velonym %s\n", strings.Join(args, " "))
	cmd := s.command(args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("velonym %s: %w", args[0], err)
	}
	return nil
}

// shTo is sh with standard output sent to a file.
func (s stage) shTo(file string, args ...string) error {
	fmt.Printf("$ velonym %s > %s\n", strings.Join(args, " "), file)
	f, err := os.OpenFile(s.path(file), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := s.command(args...)
	cmd.Stdout, cmd.Stderr = f, os.Stdout
	return errors.Join(cmd.Run(), f.Close())
}

// show prints the names and both forms of the identifier in some rows of two tables.
func (s stage) show(before, after string) error {
	var tables [2][][]string
	for i, name := range []string{before, after} {
		f, err := os.Open(s.path(name))
		if err != nil {
			return err
		}
		tables[i], err = csv.NewReader(f).ReadAll()
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	fmt.Printf("%-14s %-16s    %s\n", tables[0][0][1], tables[0][0][2], "pseudonym")
	for row := 1; row <= 4; row++ {
		fmt.Printf("%-14s %-16s -> %s\n", tables[0][row][1], tables[0][row][2], tables[1][row][1])
	}
	return nil
}

// listening matches the address in the server's log.
var listening = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)

// http starts a server on a free loopback port, makes the documented calls and
// stops it as an operator would.
func (s stage) http() (err error) {
	fmt.Println("$ velonym serve --listen 127.0.0.1:0 &")
	server := s.command("serve", "--listen", "127.0.0.1:0")
	stderr, err := server.StderrPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	defer func() {
		fmt.Println("$ kill -TERM %1")
		err = errors.Join(err, server.Process.Signal(syscall.SIGTERM), server.Wait())
	}()
	lines := bufio.NewScanner(stderr)
	url := ""
	for url == "" && lines.Scan() {
		url = listening.FindString(lines.Text())
	}
	if url == "" {
		return errors.New("the server did not say where it listens")
	}
	go func() { _, _ = io.Copy(io.Discard, stderr) }()

	in := []string{"Example PID 1", "Example PID 2"}
	out, err := s.call(url+"/api/request-psn", "token", "text/csv", strings.Join(in, ","))
	if err != nil {
		return err
	}
	again, err := s.call(url+"/api/request-psn", "token", "application/json", data(in))
	if err != nil {
		return err
	}
	back, err := s.call(url+"/api/request-psn-rev", "token-rev", "application/json", data(out))
	if err != nil {
		return err
	}
	if strings.Join(out, ",") != strings.Join(again, ",") || strings.Join(in, ",") != strings.Join(back, ",") {
		return errors.New("the answers do not belong together")
	}
	return nil
}

// data returns the JSON body of a request.
func data(values []string) string {
	b, err := json.Marshal(map[string][]string{"data": values})
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(b)
}

// call makes one HTTP call and prints it as a curl command.
func (s stage) call(url, tokenFile, contentType, body string) ([]string, error) {
	token, err := os.ReadFile(s.path(tokenFile))
	if err != nil {
		return nil, err
	}
	fmt.Printf("$ curl %s -H \"Authorization: Bearer $(cat %s)\" -H 'Content-Type: %s' --data '%s'\n", url, tokenFile, contentType, body)
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Content-Type", contentType)
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	fmt.Println(strings.TrimSpace(string(answer)))
	var values struct {
		Data []string `json:"data"`
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answered %s", resp.Status)
	}
	err = json.Unmarshal(answer, &values)
	return values.Data, err
}
