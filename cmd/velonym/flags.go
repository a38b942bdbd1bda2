package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// once refuses a flag that is given twice: which one is meant is not for us to
// guess where a token or a project is made of it.
type once bool

func (o *once) mark() error {
	if *o {
		return errors.New("it is given twice")
	}
	*o = true
	return nil
}

// checked is a text flag that judges its value when it is read, so that a wrong
// one is wrong usage and named by its flag. Unless check lets it pass, an empty
// value is refused: it mostly is a shell variable that was not set.
type checked[T ~string] struct {
	p     *T
	kind  string // shown in help
	check func(string) error
	again bool // may be given again; the last one counts
	once  once
}

func (c *checked[T]) String() string { return string(*c.p) }
func (c *checked[T]) Type() string   { return c.kind }

func (c *checked[T]) Set(s string) error {
	if err := c.check(s); err != nil {
		return err
	}
	if err := c.once.mark(); err != nil && !c.again {
		return err
	}
	*c.p = T(s)
	return nil
}

// checkedVar adds a checked flag; def is its value without the flag.
func checkedVar[T ~string](f *pflag.FlagSet, p *T, name string, def T, kind, usage string, check func(string) error) {
	*p = def
	f.Var(&checked[T]{p: p, kind: kind, check: check}, name, usage)
}

// formVar adds --form, the shape of a pseudonym. It also answers to --format, its
// former name, so f must have no other flag called that.
func formVar(f *pflag.FlagSet, p *spec.Form, def spec.Form, usage string) {
	checkedVar(f, p, "form", def, "FORM", usage, checkForm)
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "format" {
			name = "form"
		}
		return pflag.NormalizedName(name)
	})
}

// placeVar adds a flag for a place, which may be given again: who wraps the
// command in an alias with a place of its own can still name another.
func placeVar(f *pflag.FlagSet, p *string, name, kind, usage string) {
	f.Var(&checked[string]{p: p, kind: kind, check: notEmpty, again: true}, name, usage)
}

// oneOf is a check for one of some words.
func oneOf[T ~string](words ...T) func(string) error {
	list := ""
	for i, w := range words {
		switch i {
		case 0:
		case len(words) - 1:
			list += " or "
		default:
			list += ", "
		}
		list += string(w)
	}
	return func(s string) error {
		for _, w := range words {
			if s == string(w) {
				return nil
			}
		}
		return errors.New("write " + list)
	}
}

// notEmpty is a check for flags that name a file or a thing.
func notEmpty(s string) error {
	if s == "" {
		return errors.New("it is empty")
	}
	return nil
}

// checkForm judges the shape of a pseudonym.
func checkForm(s string) error {
	_, err := spec.ParseForm(s)
	return plain(err)
}

// maxSteps is how many steps a token can hold.
const maxSteps = 16

// normHelp says what each step of --norm does.
const normHelp = `

Steps of --norm, done in the order given:
  trim    drops white space at both ends
  nfc     composes characters (Unicode normalisation form C)
  upper   changes every letter to its upper case, one character for one
  lower   the same to lower case
  digits  keeps 0 to 9 and drops everything else, signs and decimal points too:
          77.0 becomes 770. Digits of other scripts are refused.
A value of which nothing is left is refused with VALUE_EMPTY; one of white space
alone becomes empty, and is a missing value. A reverse gives the normalised value;
of its own steps trim alone counts: it takes the white space away that CHAR columns
of databases add to pseudonyms.`

// splitNorm cuts the steps of --norm.
func splitNorm(s string) []string {
	steps := strings.Split(s, ",")
	for i := range steps {
		steps[i] = strings.TrimSpace(steps[i])
	}
	return steps
}

// checkNorm judges the steps before a transform.
func checkNorm(s string) error {
	steps := splitNorm(s)
	if _, err := suite.ParseNorm(steps); err != nil {
		return errors.New("write one or more of trim, nfc, upper, lower, digits, with commas between")
	}
	if len(steps) > maxSteps {
		return fmt.Errorf("%d steps are the most", maxSteps)
	}
	return nil
}

// checkAhead judges a span of time that must end in the future.
func checkAhead(s string) error {
	now := time.Now()
	until, err := parseSpan(s, now)
	if err != nil {
		return err
	}
	if !until.After(now) {
		return errors.New("that is not in the future")
	}
	return nil
}

// plain takes the room's name off an error that is shown behind its flag's.
func plain(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.TrimPrefix(strings.TrimPrefix(err.Error(), "suite: "), "spec: "))
}

// number is a flag for a whole number within bounds.
type number struct {
	p        *int64
	min, max int64
	hint     string // behind the bounds, in the error
	once     once
}

func (n *number) String() string { return strconv.FormatInt(*n.p, 10) }
func (n *number) Type() string   { return "N" }

func (n *number) Set(s string) error {
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil || v < n.min || v > n.max {
		return fmt.Errorf("write a whole number from %d to %d%s", n.min, n.max, n.hint)
	}
	if err := n.once.mark(); err != nil {
		return err
	}
	*n.p = v
	return nil
}

// maxLimit is the largest limit that a token can hold.
const maxLimit = 1 << 53

// limitVar adds a flag for a limit of values; without it there is none.
func limitVar(f *pflag.FlagSet, p *int64, name, usage string) {
	f.Var(&number{p: p, min: 1, max: maxLimit, hint: "; without the flag there is no limit"}, name, usage)
}

// size is a flag for a number of bytes.
type size struct{ p *int64 }

// sizeUnits are written behind a number of bytes, the largest first.
var sizeUnits = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}}

func (z *size) String() string {
	for _, u := range sizeUnits {
		if n := *z.p; n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return "0"
}

func (z *size) Type() string { return "BYTES" }

func (z *size) Set(s string) error {
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/u.bytes {
			break
		}
		*z.p = n * u.bytes
		return nil
	}
	return errors.New("write a number of bytes, as 1048576, 1024KiB, 256MiB or 2GiB")
}

// sizeVar adds a flag for a number of bytes; def is its value without the flag.
func sizeVar(f *pflag.FlagSet, p *int64, name string, def int64, usage string) {
	*p = def
	f.Var(&size{p}, name, usage)
}

// tagFlag is the flag --tag.
type tagFlag struct {
	p    *int
	once once
}

func (t *tagFlag) String() string { return strconv.Itoa(*t.p) }
func (t *tagFlag) Type() string   { return "BITS" }

func (t *tagFlag) Set(s string) error {
	switch s {
	case "0", "64", "128":
	default:
		return errors.New("write 0, 64 or 128")
	}
	if err := t.once.mark(); err != nil {
		return err
	}
	*t.p, _ = strconv.Atoi(s)
	return nil
}

// didYouMean names the flags of a verb that an unknown one is like.
func didYouMean(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || unknown.GetSpecifiedShortnames() != "" {
		return err
	}
	like := &cobra.Command{SuggestionsMinimumDistance: 2} // it knows likeness of commands only
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		like.AddCommand(&cobra.Command{Use: f.Name, Hidden: f.Hidden, Run: func(*cobra.Command, []string) {}})
	})
	names := like.SuggestionsFor(unknown.GetSpecifiedName())
	if len(names) == 0 {
		return err
	}
	return fmt.Errorf("%w; did you mean --%s?", err, strings.Join(names, " or --"))
}
