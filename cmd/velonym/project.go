package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newProject(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "project",
		Short: "Create, list, show, rotate, shorten, sever and restore projects",
		Example: `  velonym project create register --retention 5y
  velonym project list`,
		Args: cobra.NoArgs,
		RunE: needVerb,
	}
	cmd.AddCommand(newProjectCreate(g), newProjectList(g), newProjectShow(g), newProjectRotate(g), newProjectShorten(g), newProjectSever(g), newProjectRestore(g))
	return cmd
}

func newProjectRotate(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate NAME",
		Short: "A new key generation for every domain; the old one only reverses from now on",
		Long: `Makes a new secret for every key domain of a project, in use from now on, in running
servers within a second. Those before it only reverse. A domain has 12 generations
in its life.`,
		Example: `  velonym project rotate register`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ks, err := g.openSwept(cmd)
			if err != nil {
				return err
			}
			defer ks.Close()
			if err := ks.Rotate(cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "project %s: a new generation is active\n", args[0])
			return nil
		},
	}
}
