package main

import (
	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/spec"
)

// newRekey returns the verb rekey: run with the operation secondary from a project to
// itself.
func newRekey(g *globals) *cobra.Command {
	f := new(runFlags)
	cmd := f.command(g)
	cmd.Use = "rekey --project NAME | --token-file F   --column NAME … [-o OUT] [FILE …]"
	cmd.Short = "Convert pseudonyms of older key generations to the active one"
	cmd.Long = `Replaces the pseudonyms in the named columns, made with any living generation of a
project, by those of its active generation. Afterwards the older generation can be
destroyed. It is 'velonym run --op secondary' from a project to itself, takes the same
flags, and writes no value in clear.

pair62 pseudonyms, and those with a tag, contain their generation; under policy same
those of the active one do not change. For other forms without a tag give the
generation with --generation; one input must then hold pseudonyms of one generation.

Over HTTP, or with --server, a token does the same:
'velonym token create --project NAME --source NAME --op secondary', with --source-org
as its --org.`
	cmd.Example = `  velonym rekey --project register --column pseudonym -o new.csv old.csv
  velonym rekey --project trial --generation 0 --column id -o new.csv old.csv
  velonym rekey --server https://psn.example --token-file token --column id -o new.csv old.csv`
	generation := cmd.Flags().Int("generation", 0, "with --project: the generation of the pseudonyms, where their form does not say it")
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		for _, name := range []string{"op", "source", "source-org"} {
			if cmd.Flags().Changed(name) {
				return usagef("rekey: --%s goes with 'velonym run': here source and target are the same project", name)
			}
		}
		if cmd.Flags().Changed("generation") {
			if *generation < 0 || *generation >= keys.MaxGenerations {
				return usagef("rekey: --generation: a number from 0 to %d", keys.MaxGenerations-1)
			}
			if f.local.Project == "" {
				return usagef("rekey: --generation goes with --project: a token carries its own, psn.gen")
			}
			f.local.Gen = generation
		}
		if f.local.Project != "" {
			f.local.Op, f.local.Source, f.local.SourceOrg = spec.Secondary, f.local.Project, f.local.Org
		}
		return run(cmd, files)
	}
	for _, name := range []string{"op", "source", "source-org"} {
		_ = cmd.Flags().MarkHidden(name)
	}
	return cmd
}
