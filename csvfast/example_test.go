package csvfast_test

import (
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/velonym/velonym/csvfast"
)

// A Reader reads what encoding/csv's reads. ReadBorrowed makes no string for a field; its
// fields are there until the next call.
func ExampleReader_ReadBorrowed() {
	r := csvfast.NewReader(strings.NewReader("id,name\n1,\"Doe, Jane\"\n2,\"O\"\"Hara\"\n"))
	for {
		fields, err := r.ReadBorrowed()
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s | %s\n", fields[0], fields[1])
	}
	// Output:
	// id | name
	// 1 | Doe, Jane
	// 2 | O"Hara
}

// A field is quoted only where it must be, or where it is asked for.
func ExampleDialect_AppendField() {
	var d csvfast.Dialect
	row := d.AppendField(nil, []byte("plain"), false)
	row = append(row, ',')
	row = d.AppendField(row, []byte(`with "quotes"`), false)
	fmt.Printf("%s\n", row)
	// Output: plain,"with ""quotes"""
}
