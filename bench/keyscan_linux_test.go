package bench

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/velonym/velonym/engine"
	"github.com/velonym/velonym/engine/kernel/secmem"
	"github.com/velonym/velonym/engine/keys/sqlite"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/internal/simd"
)

// The search for keys in memory runs in a child process, so that it does not find the
// parent's computation of the needles. The child receives the needles masked: only the
// code under test may create one in the clear.
const (
	scanEnv  = "VELONYM_TEST_KEYSCAN"
	scanMask = 0xA7

	scanKeystore = "keystore" // used like the name of a kernel tier for the scan with a keystore
)

// The secret in the clear, until it is wiped. It is in global variables because a growing
// stack leaves copies of its local variables in the old place.
var (
	scanSecret  [1][32]byte
	scanSecrets [1]suite.Secret
)

// needle is eight bytes of a secret, masked.
type needle struct {
	name string
	word uint64
}

// TestNoKeyInMemory transforms and reverses under keys of all kinds in a child process,
// releases the keys, and searches the child's writable memory (heap, stacks, data, freed
// key memory) for the generation's secret, the domain's PRK, working keys, AES round keys
// and HMAC midstates. As a control, the search must find them before the release. Another
// child gets the secret from a keystore through a token, until the project is severed.
func TestNoKeyInMemory(t *testing.T) {
	var secret [32]byte
	secmem.Random(secret[:])
	prk, err := hkdf.Extract(sha256.New, secret[:], []byte("velonym/a256-1"))
	if err != nil {
		t.Fatal(err)
	}
	// The first element is the secret itself. The child uses it and wipes its copies.
	var list []string
	add := func(name string, b []byte) {
		m := bytes.Clone(b)
		for i := range m {
			m[i] ^= scanMask
		}
		list = append(list, name+"="+hex.EncodeToString(m))
	}
	add("secret", secret[:])
	add("PRK", prk)
	lp := func(s string) string { return string([]byte{byte(len(s) >> 8), byte(len(s))}) + s }
	for _, p := range []string{"rev", "mac", "doc", "fpe"} {
		k, err := hkdf.Expand(sha256.New, prk, lp(p)+lp("scan")+lp("org"), 32)
		if err != nil {
			t.Fatal(err)
		}
		add("K_"+p, k)
		switch p {
		case "rev", "fpe":
			block, err := aes.NewCipher(k)
			if err != nil {
				t.Fatal(err)
			}
			for i := range byte(2) { // of HCTR2
				h := [16]byte{i}
				block.Encrypt(h[:], h[:])
				add(fmt.Sprintf("K_%s hash key %d", p, i), h[:])
			}
			schedule := roundKeys(k)
			for i := 2; i < len(schedule); i++ {
				add(fmt.Sprintf("K_%s round key %d", p, i), schedule[i][:])
			}
		default:
			for _, pad := range []byte{0x36, 0x5c} {
				block := bytes.Repeat([]byte{pad}, 64)
				for i, b := range k {
					block[i] ^= b
				}
				add(fmt.Sprintf("K_%s padded %#x", p, pad), block[:32])
				h := sha256.New()
				h.Write(block)
				state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
				if err != nil {
					t.Fatal(err)
				}
				words := make([]byte, 32)
				for i := range 8 {
					binary.LittleEndian.PutUint32(words[4*i:], binary.BigEndian.Uint32(state[4+4*i:]))
				}
				add(fmt.Sprintf("K_%s midstate %#x", p, pad), words)
				add(fmt.Sprintf("K_%s saved midstate %#x", p, pad), state[4:36])
			}
		}
	}
	for _, kind := range append(simd.Kernels(), scanKeystore) {
		t.Run(kind, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestKeyScanChild$", "-test.v")
			// Copies by the runtime, when it preempts a goroutine or moves its stack,
			// cannot be wiped.
			cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1", "GOGC=off", scanEnv+"="+kind+";"+strings.Join(list, ";"))
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if !bytes.Contains(out, []byte("found none of ")) {
				t.Fatalf("the child did not search:\n%s", out)
			}
		})
	}
}

// roundKeys is the key expansion of AES-256 (FIPS 197, section 5.2).
func roundKeys(key []byte) (rk [15][16]byte) {
	box := func(x byte) byte {
		var inv byte
		for y := range 256 {
			if mulAES(x, byte(y)) == 1 {
				inv = byte(y)
			}
		}
		r := inv
		for k := 1; k <= 4; k++ {
			r ^= inv<<k | inv>>(8-k)
		}
		return r ^ 0x63
	}
	w := make([]byte, 240)
	copy(w, key)
	rcon := byte(1)
	for i := 32; i < 240; i += 4 {
		x := [4]byte(w[i-4:])
		switch i % 32 {
		case 0:
			x = [4]byte{box(x[1]) ^ rcon, box(x[2]), box(x[3]), box(x[0])}
			rcon = mulAES(rcon, 2)
		case 16:
			x = [4]byte{box(x[0]), box(x[1]), box(x[2]), box(x[3])}
		}
		for j := range x {
			w[i+j] = w[i-32+j] ^ x[j]
		}
	}
	for i := range rk {
		rk[i] = [16]byte(w[16*i:])
	}
	return rk
}

func mulAES(a, b byte) (r byte) {
	for ; b != 0; b >>= 1 {
		if b&1 != 0 {
			r ^= a
		}
		a = a<<1 ^ a>>7*0x1b
	}
	return r
}

// TestKeyScanChild is the child of TestNoKeyInMemory.
func TestKeyScanChild(t *testing.T) {
	env := os.Getenv(scanEnv)
	if env == "" {
		return // runs only as a child of TestNoKeyInMemory
	}
	fields := strings.Split(env, ";")
	var needles []needle
	for i, f := range fields[1:] {
		name, masked, _ := strings.Cut(f, "=")
		b, err := hex.DecodeString(masked)
		if err != nil {
			t.Fatal(err)
		}
		for j := 0; j+8 <= len(b); j += 8 {
			needles = append(needles, needle{name, binary.LittleEndian.Uint64(b[j:])})
		}
		if i == 0 {
			for j, x := range b {
				scanSecret[0][j] = x ^ scanMask
			}
		}
	}
	var release func()
	if fields[0] == scanKeystore {
		release = scanGrant(t)
	} else {
		if err := simd.Force(fields[0]); err != nil {
			t.Fatal(err)
		}
		release = scanKeys(t)
	}
	if found := scan(t, needles); len(found) < 5 {
		t.Fatalf("the search does not work: with keys in use it finds only %v", found)
	}
	release()
	clobber(64)
	if found := scan(t, needles); len(found) > 0 {
		for name, where := range found {
			t.Errorf("after the release, %s is found in %.100s", name, where)
		}
		return
	}
	t.Logf("found none of %d needles", len(needles))
}

// scanKeys uses keys of all kinds derived from scanSecret, which it wipes.
func scanKeys(t *testing.T) (release func()) {
	scanSecrets[0].Active = true
	copy(scanSecrets[0].S[:], scanSecret[0][:])
	secmem.Wipe(scanSecret[0][:])
	keys, err := suite.NewKeys("scan", "org", scanSecrets[:])
	if err != nil {
		t.Fatal(err)
	}
	secmem.Wipe(scanSecrets[0].S[:])
	digits, err := spec.ParseForm("digits")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []suite.Spec{
		{Method: spec.Reversible, Policy: spec.Same, Form: spec.Pair62, Gen: -1},
		{Method: spec.Reversible, Policy: spec.Different, Tag: 64, Form: spec.Pair62, Gen: -1},
		{Method: spec.Reversible, Policy: spec.Same, Form: digits, Gen: -1},
		{Method: spec.Irreversible, Policy: spec.Same, Form: spec.Pair62, Gen: -1},
		{Method: spec.Irreversible, Policy: spec.PerDocument, Form: spec.Pair62, Gen: -1},
	} {
		p, err := suite.NewPlan(spec.Pseudonymise, s, keys)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range []int{9, 9, 40, 200} {
			b := &suite.Batch{Doc: p.NewDocument(), Post: "\n"}
			for i := range 200 {
				n := l
				if l == 40 {
					n = 6 + i%60
				}
				b.Spans = append(b.Spans, uint32(len(b.Src)), uint32(n))
				for j := range n {
					b.Src = append(b.Src, byte('0'+(i*j+j)%10))
				}
			}
			p.Transform(b)
			if s.Method == spec.Reversible {
				back, err := suite.NewPlan(spec.Reverse, s, keys)
				if err != nil {
					t.Fatal(err)
				}
				c := &suite.Batch{Src: b.Dst, Spans: b.Out, Post: "\n"}
				back.Transform(c)
				back.Close()
			}
		}
		p.Close()
	}
	return keys.Release
}

// scanGrant imports scanSecret into a keystore, wipes it, and uses it through a token.
// release severs the project and closes the keystore.
func scanGrant(t *testing.T) (release func()) {
	ctx := t.Context()
	dir := t.TempDir()
	if err := engine.NewMasterKeyFile(dir + "/master.key"); err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Create(dir + "/keystore.db")
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Open(ctx, engine.Config{Store: store, MasterKey: dir + "/master.key"})
	if err != nil {
		t.Fatal(err)
	}
	p := engine.Project{Name: "scan", Orgs: []string{"org"}, Method: "reversible", Policy: "same", Form: "pair62", Retention: time.Now().Add(time.Hour)}
	if err := e.Keystore.CreateProject(ctx, p, scanSecret[:]); err != nil {
		t.Fatal(err)
	}
	secmem.Wipe(scanSecret[0][:])
	raw, _, err := e.CreateToken(ctx, engine.TokenRequest{Project: "scan", Org: "org", Op: "pseudonymise"})
	if err != nil {
		t.Fatal(err)
	}
	// The server also verifies on another goroutine, whose stack nobody clears.
	var g *engine.Grant
	done := make(chan error)
	go func() {
		var err error
		g, err = e.Verify(ctx, raw, engine.OpsForward)
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	g.Plan.Transform(&suite.Batch{Src: []byte("scan"), Spans: []uint32{0, 4}})
	return func() {
		if _, err := e.Keystore.Sever(ctx, "scan"); err != nil {
			t.Error(err)
		}
		for range 500 { // the change takes effect within a second
			more, err := e.Verify(ctx, raw, engine.OpsForward)
			if err != nil {
				break
			}
			more.Release()
			time.Sleep(10 * time.Millisecond)
		}
		g.Release()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

// clobber overwrites the part of the stack where earlier calls left local variables.
//
//go:noinline
func clobber(n int) byte {
	var b [2048]byte
	for i := range b {
		b[i] = byte(n + i)
	}
	if n > 0 {
		b[n] ^= clobber(n - 1)
	}
	return b[n%2048]
}

// scan searches every offset of this process's writable memory for the needles, and
// returns the places by needle name.
func scan(t *testing.T, needles []needle) map[string]string {
	t.Helper()
	var mask uint64 = 0x0101010101010101 * scanMask
	var first [1 << 16]bool // whether a needle begins with these two bytes, masked
	for _, n := range needles {
		first[n.word&0xFFFF] = true
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close()
	type region struct {
		begin, end uintptr
		name       string
	}
	var regions []region
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		var r region
		if _, err := fmt.Sscanf(f[0], "%x-%x", &r.begin, &r.end); err != nil || !strings.HasPrefix(f[1], "rw") {
			continue
		}
		r.name = "anonymous memory"
		if len(f) > 5 {
			r.name = f[5]
		}
		regions = append(regions, r)
	}
	found := map[string]string{}
	for _, r := range regions {
		if r.name == "[vvar]" || strings.HasPrefix(r.name, "/dev") {
			continue
		}
		m := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(nil), r.begin)), r.end-r.begin)
		for i := 0; i+8 <= len(m); i++ {
			if !first[(uint16(m[i])|uint16(m[i+1])<<8)^(scanMask<<8|scanMask)] {
				continue
			}
			w := binary.LittleEndian.Uint64(m[i:]) ^ mask
			for _, n := range needles {
				if n.word == w {
					found[n.name] += fmt.Sprintf(" %s at %#x", r.name, r.begin+uintptr(i))
				}
			}
		}
	}
	return found
}
