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

// givenOnce refuses a flag that is given twice. Where a flag defines a token or a
// project, taking the last value would be a guess.
type givenOnce bool

func (o *givenOnce) mark() error {
	if *o {
		return errors.New("it is given twice")
	}
	*o = true
	return nil
}

// checkedFlag is a text flag whose value is checked when it is parsed, so that the usage
// error names the flag. Most checks refuse an empty value, since it usually comes from an
// unset shell variable.
type checkedFlag[T ~string] struct {
	p          *T
	kind       string // placeholder in the help
	check      func(string) error
	repeatable bool // the last value counts
	once       givenOnce
}

func (c *checkedFlag[T]) String() string { return string(*c.p) }
func (c *checkedFlag[T]) Type() string   { return c.kind }

func (c *checkedFlag[T]) Set(s string) error {
	if err := c.check(s); err != nil {
		return err
	}
	if err := c.once.mark(); err != nil && !c.repeatable {
		return err
	}
	*c.p = T(s)
	return nil
}

// checkedVar adds a checked flag with the default def.
func checkedVar[T ~string](f *pflag.FlagSet, p *T, name string, def T, kind, usage string, check func(string) error) {
	*p = def
	f.Var(&checkedFlag[T]{p: p, kind: kind, check: check}, name, usage)
}

// formVar adds --form, the form of a pseudonym. The flag also answers to its former name
// --format, so f must have no other flag of that name.
func formVar(f *pflag.FlagSet, p *spec.Form, def spec.Form, usage string) {
	checkedVar(f, p, "form", def, "FORM", usage, checkForm)
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "format" {
			name = "form"
		}
		return pflag.NormalizedName(name)
	})
}

// placeVar adds a flag for a file, folder or address. It may be given twice, so that an
// alias with a place of its own can be overridden.
func placeVar(f *pflag.FlagSet, p *string, name, kind, usage string) {
	f.Var(&checkedFlag[string]{p: p, kind: kind, check: notEmpty, repeatable: true}, name, usage)
}

// oneOf returns a check that accepts the given words only.
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

// notEmpty is a check that refuses an empty value.
func notEmpty(s string) error {
	if s == "" {
		return errors.New("it is empty")
	}
	return nil
}

// checkForm checks the form of a pseudonym.
func checkForm(s string) error {
	_, err := spec.ParseForm(s)
	return withoutPackage(err)
}

// maxNormSteps is the number of steps that a token can hold.
const maxNormSteps = 16

// normHelp describes the steps of --norm.
const normHelp = `

Steps of --norm, applied in the order given:
  trim    removes white space at both ends
  nfc     composes characters (Unicode normalisation form C)
  upper   changes every letter to upper case, one character for one
  lower   changes every letter to lower case, one character for one
  digits  keeps 0 to 9 and drops everything else, signs and decimal points too:
          77.0 becomes 770. Digits of other scripts are refused.
A value that becomes empty is refused with VALUE_EMPTY; a value of white space alone
is a missing value. A reverse returns the normalised value. Of the steps given to a
reverse only trim applies: it removes the white space that CHAR columns of databases
add to pseudonyms.`

// splitNorm splits the value of --norm into steps.
func splitNorm(s string) []string {
	steps := strings.Split(s, ",")
	for i := range steps {
		steps[i] = strings.TrimSpace(steps[i])
	}
	return steps
}

// checkNorm checks the value of --norm.
func checkNorm(s string) error {
	steps := splitNorm(s)
	if _, err := suite.ParseNorm(steps); err != nil {
		return errors.New("write one or more of trim, nfc, upper, lower, digits, with commas between")
	}
	if len(steps) > maxNormSteps {
		return fmt.Errorf("%d steps are the most", maxNormSteps)
	}
	return nil
}

// checkAhead checks a span of time or a day that must end in the future.
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

// withoutPackage removes the package's name from the text of err, which is shown after a
// flag's name.
func withoutPackage(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.TrimPrefix(strings.TrimPrefix(err.Error(), "suite: "), "spec: "))
}

// numberFlag is a flag for a whole number within bounds.
type numberFlag struct {
	p        *int64
	min, max int64
	hint     string // follows the bounds in the error
	once     givenOnce
}

func (n *numberFlag) String() string { return strconv.FormatInt(*n.p, 10) }
func (n *numberFlag) Type() string   { return "N" }

func (n *numberFlag) Set(s string) error {
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

// limitVar adds a flag for a limit; without the flag there is no limit.
func limitVar(f *pflag.FlagSet, p *int64, name, usage string) {
	f.Var(&numberFlag{p: p, min: 1, max: maxLimit, hint: "; without the flag there is no limit"}, name, usage)
}

// sizeFlag is a flag for a number of bytes.
type sizeFlag struct{ p *int64 }

// sizeUnits are the suffixes of a number of bytes, the largest first.
var sizeUnits = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}}

func (z *sizeFlag) String() string {
	for _, u := range sizeUnits {
		if n := *z.p; n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return "0"
}

func (z *sizeFlag) Type() string { return "BYTES" }

func (z *sizeFlag) Set(s string) error {
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

// sizeVar adds a flag for a number of bytes with the default def.
func sizeVar(f *pflag.FlagSet, p *int64, name string, def int64, usage string) {
	*p = def
	f.Var(&sizeFlag{p}, name, usage)
}

// tagFlag is the flag --tag.
type tagFlag struct {
	p    *int
	once givenOnce
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

// didYouMean adds to the error of an unknown flag the flags of the verb with a similar
// name.
func didYouMean(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || unknown.GetSpecifiedShortnames() != "" {
		return err
	}
	like := &cobra.Command{SuggestionsMinimumDistance: 2} // cobra compares names of commands only
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		like.AddCommand(&cobra.Command{Use: f.Name, Hidden: f.Hidden, Run: func(*cobra.Command, []string) {}})
	})
	names := like.SuggestionsFor(unknown.GetSpecifiedName())
	if len(names) == 0 {
		return err
	}
	return fmt.Errorf("%w; did you mean --%s?", err, strings.Join(names, " or --"))
}
