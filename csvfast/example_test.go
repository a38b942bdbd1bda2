package csvfast_test

import (
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/velonym/velonym/csvfast"
)

// A Reader reads the same rows as encoding/csv's. ReadBorrowed makes no strings; its fields are
// valid until the next call.
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

// A field is quoted only if it must be or if the caller asks for it.
func ExampleDialect_AppendField() {
	var d csvfast.Dialect
	row := d.AppendField(nil, []byte("plain"), false)
	row = append(row, ',')
	row = d.AppendField(row, []byte(`with "quotes"`), false)
	fmt.Printf("%s\n", row)
	// Output: plain,"with ""quotes"""
}
