package jsonfast

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/campaign"
)

// campaigns is the number of campaigns of this package, among which make soak divides its time.
const campaigns = 6

// itemStretches are items of an array, each of which is repeated up to a change.
var itemStretches = []string{
	`"abcdefghijklm",`, `"a",`, `"",`, `"é日本",`, `"a\nb",`, `"x" , `, "\"a\",\n  ", `"\\",`, `"\ud83d\ude00",`, `"\"\\\"",`,
	`"a string of more than sixty-four bytes, which is longer than a block, and no escape",`, `"a","b","c","d",`, `1,`,
}

// itemChanges stand between two stretches. The last brokenItems of them are not valid JSON.
var itemChanges = []string{
	`null,`, `1,`, `true,`, `{"a":["b"]},`, `[],`, `["a","b"],`, `"\"",`, `"\\\\\\",`, `"\\\\\\\"",`, `"é",`, `"𝄞",`, `"\u00e9",`, `"\ud83d\ude00",`,
	`"",`, "   \n\t\r ", `"}],",`, `"a",    "b"   ,`, "\"\x7f\",",
	`"a" "b",`, `,`, `"\x",`, `"\ud83d",`, `"\ude00",`, "\"a\x01\",", "\"\xc3\",", "\"\xed\xa0\x80\",", "\"\xf0\x9f\x98\",", `x,`, `]`, `"a"1,`, `\"a",`, `:`, "\xc3\xa9,", `"open,`,
}

const brokenItems = 16

// pick returns one of changes, sometimes one of the last broken ones.
func pick(r *rand.Rand, changes []string, broken int) string {
	n := len(changes) - broken
	if r.IntN(5) == 0 {
		n = len(changes)
	}
	return changes[r.IntN(n)]
}

// structuredArray returns a request of three to six windows with a change of items around, and
// often across, the border of a window or a block.
func structuredArray(r *rand.Rand, number int) []byte {
	const step = 64 * arrayBlocks
	text := append([]byte(`{"x":[1,"y"],`), bytes.Repeat([]byte(" "), r.IntN(130))...)
	text = append(text, `"data":[`...)
	first := len(text)
	size := (3+r.IntN(4))*step + r.IntN(200) - 100
	at := campaign.Border(r, number, []int{step, step, 64}[r.IntN(3)], size)
	kind := itemStretches[r.IntN(len(itemStretches))]
	for {
		change := pick(r, itemChanges, brokenItems)
		if r.IntN(2) == 0 && at > step/2 && at < size {
			at = (at+step/2)/step*step - r.IntN(len(change)+1)
		}
		for len(text)+len(kind) <= first+at {
			text = append(text, kind...)
		}
		switch pad := first + at - len(text); {
		case pad >= 3:
			text = append(append(append(text, '"'), bytes.Repeat([]byte("p"), pad-3)...), `",`...)
		case pad > 0:
			text = append(text, "  "[:pad]...)
		}
		if len(text)-first >= size {
			break
		}
		text = append(text, change...)
		if r.IntN(2) == 0 {
			kind = itemStretches[r.IntN(len(itemStretches))]
		}
		at = size
		if r.IntN(3) == 0 {
			at = max(len(text)-first, campaign.Border(r, r.IntN(261), step, size))
		}
	}
	return append(text, []string{`"z"]}`, "\"z\"\n]\n}\n", `null],"y":"data"}`, `"\""  ]  ,"z":[]}`, `"z"`, `"z"]`}[min(r.IntN(20), 5)]...)
}

// TestStructuredArray compares scans of requests of several windows with encoding/json.
func TestStructuredArray(t *testing.T) {
	var sum arrayPaths
	campaign.Run(t, 261, campaigns, func(t *testing.T, r *rand.Rand, number int) {
		text := structuredArray(r, number)
		want, ok := oracleData(text)
		campaign.OnEachKernel(t, func(kernel string) {
			var a Array
			compareData(t, &a, text, want, ok)
			p := &a.paths
			if ok && p.restarts > 0 {
				t.Fatalf("kernel %s reads valid text a second time, as after an error", kernel)
			}
			sum.kernel += p.kernel
			sum.stopped += p.stopped
			sum.reopened += p.reopened
			sum.cutRunes += p.cutRunes
			sum.restarts += p.restarts
			sum.pauses += p.pauses
			sum.noted += p.noted
			sum.validated += p.validated
		})
	})
	campaign.AtLeastInKernels(t, 10, map[string]int{"kernel": sum.kernel, "stopped": sum.stopped, "reopened": sum.reopened, "cut runes": sum.cutRunes,
		"restarts": sum.restarts, "pauses": sum.pauses, "noted": sum.noted, "validated": sum.validated})
}

// lineStretches are lines, each of which is repeated up to a change.
var lineStretches = []string{
	"{\"id\":\"abcdefghijklm\",\"n\":1}\n", "{\"n\": 12.5e3, \"id\": \"z\"}\r\n", "{\"id\":\"é–𝄞\"}\n", "{\"id\":\"a\\nb\",\"x\":null}\n",
	"{\"patient\":{\"id\":\"a\",\"visits\":[{\"id\":\"b\"},{\"id\":\"c\"}]},\"visits\":[\"d\",\"e\",\"f\"]}\n", "{\"visits\":[\"a\",\"b\"],\"id\":true}\n",
	"{\"a member name of more than thirty-two bytes\":false,\"id\":\"x\"}\n", "[\"a\",1]\n", "{\"id\":\"\"}\n\n", "{\"id\":\"" + "0123456789012345678901234567890123456789012345678901234567890123456789\"}\n",
	"{\"#######\":1,\"id\":\"a\"}\n", // another name in every line
}

// lineChanges stand between two stretches. The last brokenLines of them are not valid JSON.
var lineChanges = []string{
	"{\"id\":1}\n", "{\"id\":null,\"n\":1}\n", "{\"id\":[\"a\",\"b\"]}\n", "{\"id\":{\"id\":\"a\"}}\n", "{\"id\":[]}\n", "{\"visits\":[\"a\",[\"b\"],{\"id\":\"c\"}]}\n", "\n", "\r\n", "  \n",
	"{\"i\\u0064\":\"a\"}\n", "{\"id\":\"\\\"\\\\\"}\n", "{\"id\":\"\\ud83d\\ude00\"}\n", "{\"id\":\"a\",\"id\":\"b\"}\n", "\"id\"\n", "{}\n", "{\"id\":\"é\"}\n", "{\"id\" : \"a\"}\n", "{\"n\":-0.5e-7,\"id\":\"z\"}\n",
	"{\"id\":\"\xed\xa0\x80\",\"n\":1}\n", "{\"id\":\"\x80\"}\n", "{\"id\":\"\xf0\x9f\x98\"}\n",
	"{\"id\":\"a\"\n", "{\"id\":\"a}\n", "{\"id\":\"a\",}\n", "{\"id\":01}\n", "{\"id\":\"\\x\"}\n", "{\"id\":\"\xc3\"}\n", "{\"id\":tru}\n", "{\"id\":\"a\tb\"}\n", "{\"id\":\"a\"}}\n", "{\"id\":\"\\ud83d\"}\n", "{\"n\": 1., \"id\": \"z\"}\r\n",
}

const brokenLines = 14

// structuredLines returns lines with a change around a border or the end.
func structuredLines(r *rand.Rand, number int) []byte {
	const step = 4096
	size := (3+r.IntN(4))*step + r.IntN(200) - 100
	at := campaign.Border(r, number, []int{step, 64}[r.IntN(2)], size)
	if r.IntN(3) == 0 {
		at = size - 2*shapePadding + number%261 - 130 // near the offset at which kernels stop before the end
	}
	kind := lineStretches[r.IntN(len(lineStretches))]
	var text []byte
	for {
		for len(text)+len(kind) <= at {
			text = append(text, strings.Replace(kind, "#######", fmt.Sprintf("%07d", len(text)), 1)...)
		}
		if pad := at - len(text); pad > 0 { // white space before a line is valid
			text = append(text, bytes.Repeat([]byte(" "), pad)...)
		}
		if len(text) >= size {
			break
		}
		text = append(text, pick(r, lineChanges, brokenLines)...)
		if r.IntN(3) > 0 {
			kind = lineStretches[r.IntN(len(lineStretches))]
		}
		at = size
		if r.IntN(3) == 0 {
			at = max(len(text), campaign.Border(r, r.IntN(261), step, size))
		}
	}
	if r.IntN(3) == 0 {
		text = bytes.TrimRight(text, " \r\n")
	}
	return text
}

// TestStructuredLines compares scans of lines with encoding/json, as a whole and in parts of whole
// lines, with one finder and with a new one for each part.
func TestStructuredLines(t *testing.T) {
	paths := []string{"id", "patient.id", "visits", "patient.visits.id"}
	var sum finderPaths
	campaign.Run(t, 261, campaigns, func(t *testing.T, r *rand.Rand, number int) {
		text := structuredLines(r, number)
		want, rows, line := oracleLines(text, paths)
		size := 1 + r.IntN(len(text))
		campaign.OnEachKernel(t, func(kernel string) {
			f, err := NewPathFinder(paths)
			if err != nil {
				t.Fatal(err)
			}
			compareLines(t, f, text, want, rows, line)
			compareLines(t, f, text, want, rows, line) // with known shapes
			if line == 0 {
				sameInParts(t, r, f, paths, text, size, len(f.Path), len(f.NotString))
			}
			p := &f.paths
			sum.shaped += p.shaped
			sum.failed += p.failed
			sum.full += p.full
			sum.pauses += p.pauses
			sum.refused += p.refused
			sum.learned += p.learned
			sum.validated += p.validated
		})
	})
	campaign.AtLeast(t, 10, map[string]int{"shaped": sum.shaped, "failed": sum.failed, "full": sum.full, "pauses": sum.pauses, "learned": sum.learned})
	campaign.AtLeastInKernels(t, 10, map[string]int{"validated": sum.validated})
	campaign.AtLeastInKernels(t, 3, map[string]int{"refused": sum.refused}) // they are rare if only one kernel runs
}

// sameInParts scans parts of whole lines of about size bytes and compares them with the last scan of
// f, which has scanned all.
func sameInParts(t *testing.T, r *rand.Rand, f *PathFinder, paths []string, text []byte, size, values, others int) {
	want, spans := bytes.Clone(f.Path), slices.Clone(f.Spans)
	g, err := NewPathFinder(paths)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(text); {
		end := min(at+size, len(text))
		if n := bytes.IndexByte(text[end:], '\n'); n >= 0 {
			end += n + 1
		} else {
			end = len(text)
		}
		if r.IntN(4) == 0 {
			g = f
		}
		if err := g.Scan(text[at:end]); err != nil {
			t.Fatalf("part at %d: %v", at, err)
		}
		for k := range g.Path {
			if len(want) == 0 || want[0] != g.Path[k] || spans[0] != g.Spans[2*k]+uint32(at) || spans[1] != g.Spans[2*k+1] {
				t.Fatalf("part at %d: value %d differs from that of the whole", at, k)
			}
			want, spans = want[1:], spans[2:]
		}
		values -= len(g.Path)
		others -= len(g.NotString)
		at = end
	}
	if values != 0 || others != 0 {
		t.Fatalf("parts of %d: %d values and %d values that are not strings are missing", size, values, others)
	}
}
