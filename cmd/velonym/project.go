package main

import (
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
	cmd.AddCommand(newProjectCreate(g), newProjectList(g), newProjectShow(g), newProjectRotate(g), newProjectShorten(g), newProjectSever(g), newProjectRestore(g), newProjectDestroyGeneration(g))
	return cmd
}
