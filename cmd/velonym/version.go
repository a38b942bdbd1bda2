package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/text/unicode/norm"

	"github.com/velonym/velonym/engine/kernel/secmem"
	"github.com/velonym/velonym/engine/token"
	"github.com/velonym/velonym/internal/simd"
)

// versionInfo is what `velonym version --json` prints.
type versionInfo struct {
	Version   string   `json:"version"`
	Commit    string   `json:"commit"`
	Go        string   `json:"go"`
	Platform  string   `json:"platform"`
	Suite     string   `json:"suite"`
	Unicode   string   `json:"unicode"` // version that the norm steps nfc, upper and lower use
	Kernel    string   `json:"kernel"`
	Tokenizer string   `json:"tokenizer"`
	Kernels   []string `json:"kernels"` // tiers that this CPU supports, best first
	Features  []string `json:"features"`
	KeyMemory string   `json:"key_memory"` // locked, or why it is not
	Dumps     string   `json:"dumps"`      // core dumps of this process: off or allowed

	Keystore *keystoreVersion `json:"keystore,omitempty"` // nil if there is none
}

// keystoreVersion identifies the keys of the keystore by fingerprints.
type keystoreVersion struct {
	MasterKey string `json:"master_key,omitempty"`
	Issuer    string `json:"issuer,omitempty"`
	IssuerKey string `json:"issuer_key,omitempty"` // kid, its JWK thumbprint
	Error     string `json:"error,omitempty"`      // why it does not open
}

// keystoreTimeout limits how long version waits for the keystore.
const keystoreTimeout = 5 * time.Second

// keystoreVersion returns nil if there is no keystore, or if its master key is not in a
// file: version runs no command of an exec: source and takes no key from the environment.
func (g *globals) keystoreVersion(ctx context.Context) *keystoreVersion {
	place, master, err := g.locations()
	if err != nil || !isKeyFile(master) {
		return nil
	}
	if !isPostgres(place) {
		if _, err := os.Lstat(place); err != nil {
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, keystoreTimeout)
	defer cancel()
	ks, err := g.openKeystore(ctx)
	if err != nil {
		return &keystoreVersion{Error: err.Error()}
	}
	defer ks.Close()
	info, err := ks.Issuer(ctx)
	if err != nil {
		return &keystoreVersion{MasterKey: ks.MasterKeyFingerprint(), Error: err.Error()}
	}
	return &keystoreVersion{MasterKey: ks.MasterKeyFingerprint(), Issuer: info.Name, IssuerKey: token.KeyID(info.Public)}
}

// keyMemory allocates key memory and reports whether it is locked.
func keyMemory() (string, error) {
	b, err := secmem.Alloc(1)
	if err != nil {
		return "", err
	}
	defer secmem.Free(b)
	if refused := secmem.Status().LockErr; refused != nil {
		return fmt.Sprintf("not locked (%v): %s", refused, lockRemedy), nil
	}
	return "locked", nil
}

// lockRemedy tells an operator what to do if key memory cannot be locked.
const lockRemedy = "keys may be written to swap: raise the limit (ulimit -l, LimitMEMLOCK= of systemd, --ulimit memlock of containers)"

// buildVersion returns version and commit from the build information in the binary. A
// "+" after the commit marks a modified tree.
func buildVersion() (version, commit string) {
	version, commit = "devel", "unknown"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version, commit
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		version = v
	}
	dirty := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+"
		}
	}
	return version, commit + dirty
}

func newVersion(g *globals) *cobra.Command {
	var asJSON, kernelsOnly bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Version, commit, Go, kernels and CPU features",
		Long: `Describes this program and the machine. --json writes one object: version, commit
(with "+" if the tree was modified), go, platform, suite, unicode, kernel and tokenizer
in use, kernels that this CPU supports (best first), features, key_memory ("locked", or
why it is not), dumps ("off", or "allowed" with VELONYM_ALLOW_DUMPS=1, for debuggers),
and, if there is a keystore with its master key in a file: fingerprints of the master
key and the issuer's key, and the issuer's name, or why the keystore does not open.`,
		Example: `  velonym version
  velonym version --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			if kernelsOnly && asJSON {
				return usagef("version: give --json or --kernels, not both")
			}
			if kernelsOnly {
				_, err := fmt.Fprintln(out, strings.Join(simd.Kernels(), ","))
				return err
			}
			v := versionInfo{
				Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Suite: "a256-1", Unicode: norm.Version,
				Kernel: simd.Kernel(), Tokenizer: simd.Kernel(), Kernels: simd.Kernels(), Features: simd.Features(),
			}
			v.Version, v.Commit = buildVersion()
			v.Dumps = dumps()
			var err error
			if v.KeyMemory, err = keyMemory(); err != nil {
				return err
			}
			if asJSON {
				v.Keystore = g.keystoreVersion(cmd.Context())
				enc := json.NewEncoder(out)
				enc.SetIndent("", "  ")
				return enc.Encode(v)
			}
			_, err = fmt.Fprintf(out, "velonym %s (commit %s)\n%s %s, suite %s, Unicode %s\nkernel %s, tokenizer %s (this CPU runs: %s)\ncpu %s\nkey memory %s, dumps %s\n",
				v.Version, v.Commit, v.Go, v.Platform, v.Suite, v.Unicode, v.Kernel, v.Tokenizer,
				strings.Join(v.Kernels, ", "), strings.Join(v.Features, " "), v.KeyMemory, v.Dumps)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	cmd.Flags().BoolVar(&kernelsOnly, "kernels", false, "only the kernels that this CPU supports, best first, separated by commas")
	return cmd
}
