package bulk

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// isZstd reports whether head starts a zstd stream: a frame, or a skippable frame, which
// pzstd writes before every frame.
//
// Source: RFC 8878, sections 3.1.1 and 3.1.2.
func isZstd(head []byte) bool {
	if len(head) < 4 {
		return false
	}
	magic := binary.LittleEndian.Uint32(head)
	return magic == 0xfd2fb528 || magic&^0xf == 0x184d2a50
}

// kind is a file type that is not supported, recognised by its first bytes.
type kind struct {
	magic  string
	at     int  // offset of the magic
	binary bool // the magic is also valid text; the kind applies only if binary bytes follow
	name   string
	remedy string
}

// kinds are compared in this order.
var kinds = []kind{
	{magic: "PK\x03\x04", name: "a zip archive or an Excel workbook (XLSX)", remedy: "export the sheet as CSV, or unpack the archive first"},
	{magic: "PK\x05\x06", name: "an empty zip archive", remedy: "name the file that was meant"},
	{magic: "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", name: "an old Office document (XLS)", remedy: "export the sheet as CSV"},
	{magic: "BZh", binary: true, name: "compressed with bzip2", remedy: "unpack it first: bzip2 -dc FILE | velonym run …"},
	{magic: "\xfd7zXZ\x00", name: "compressed with xz", remedy: "unpack it first: xz -dc FILE | velonym run …"},
	{magic: "7z\xbc\xaf\x27\x1c", name: "a 7z archive", remedy: "unpack it first: 7z x FILE"},
	{magic: "Rar!\x1a\x07", name: "a RAR archive", remedy: "unpack it first: unrar x FILE"},
	{magic: "\x04\x22\x4d\x18", name: "compressed with lz4", remedy: "unpack it first: lz4 -dc FILE | velonym run …"},
	{magic: "\xff\x06\x00\x00sNaPpY", name: "compressed with snappy", remedy: "unpack it first"},
	{magic: "\x1f\x9d", name: "compressed with compress (.Z)", remedy: "unpack it first: gzip -dc FILE | velonym run …"},
	{magic: "\x1f\x8b", name: "compressed with gzip twice", remedy: "unpack it once first: gzip -dc FILE | velonym run …"},
	{magic: "\x28\xb5\x2f\xfd", name: "compressed with zstd twice", remedy: "unpack it once first: zstd -dc FILE | velonym run …"},
	{magic: "PAR1", binary: true, name: "Parquet", remedy: "Parquet is read from its end: give a file that is not compressed"},
	{magic: "PARE", binary: true, name: "encrypted Parquet", remedy: "decrypt it first"},
	{magic: "ARROW1\x00\x00", name: "an Arrow file", remedy: "read it as Arrow: give the file itself, not a pipe, and no other format; or write an Arrow stream"},
	{magic: "\xff\xff\xff\xff", name: "an Arrow stream", remedy: "read it as Arrow, and not packed by another program"},
	{magic: "FEA1", binary: true, name: "a Feather file of version 1", remedy: "write it anew as version 2, which is an Arrow file"},
	{magic: "Obj\x01", name: "Avro", remedy: "write it as Parquet or NDJSON first"},
	{magic: "ORC", binary: true, name: "ORC", remedy: "write it as Parquet or CSV first"},
	{magic: "SQLite format 3\x00", name: "an SQLite database", remedy: "export the table as CSV: sqlite3 -header -csv FILE 'select …'"},
	{magic: "%PDF-", name: "a PDF document", remedy: "export the table as CSV from where it came"},
	{magic: "\x89HDF\r\n\x1a\n", name: "HDF5", remedy: "write it as Parquet or CSV first"},
	{magic: "<stata_dta>", name: "a Stata file", remedy: "export it as CSV first"},
	{magic: "$FL2", binary: true, name: "an SPSS file", remedy: "export it as CSV first"},
	{magic: "$FL3", binary: true, name: "an SPSS file", remedy: "export it as CSV first"},
	{magic: "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xc2\xea\x81\x60", name: "a SAS data set", remedy: "export it as CSV first"},
	{magic: "ustar", at: 257, name: "a tar archive", remedy: "unpack it first: tar -xf FILE"},
	{magic: "age-encryption.org/v1\n", name: "encrypted with age", remedy: "decrypt it first: age -d FILE | velonym run …"},
	{magic: "-----BEGIN AGE ENCRYPTED FILE-----", name: "encrypted with age", remedy: "decrypt it first: age -d FILE | velonym run …"},
	{magic: "-----BEGIN PGP MESSAGE-----", name: "encrypted with PGP", remedy: "decrypt it first: gpg -d FILE | velonym run …"},
	{magic: "RIFF", binary: true, name: "a media file", remedy: "name the file that was meant"},
	{magic: "\x89PNG\r\n\x1a\n", name: "a picture", remedy: "name the file that was meant"},
	{magic: "\x7fELF", name: "a program", remedy: "name the file that was meant"},
}

// textSample is the number of bytes of a head that isText examines.
const textSample = 512

// refuseKind returns an error that names the type of an unsupported input and a remedy. It
// returns errMore if it needs more of the head.
func refuseKind(name string, head []byte, all bool) error {
	for _, k := range kinds {
		end := k.at + len(k.magic)
		if len(head) < end {
			if !all && (k.at == 0 && bytes.HasPrefix([]byte(k.magic), head)) {
				return errMore
			}
			continue
		}
		if string(head[k.at:end]) != k.magic {
			continue
		}
		if k.binary {
			if isText(head) {
				if !all && len(head) < textSample && bytes.IndexByte(head, '\n') < 0 {
					return errMore
				}
				continue
			}
		}
		return &Error{File: name, Err: &KindError{k.name, k.remedy, k.magic == "PAR1"}}
	}
	return nil
}

// isText reports whether the first bytes of head are UTF-8 or Latin text without control
// characters other than white space.
func isText(head []byte) bool {
	head = head[:min(len(head), textSample)]
	for i := 0; i < len(head); {
		c := head[i]
		if c < 0x20 && c != '\t' && c != '\n' && c != '\r' {
			return false
		}
		if c < utf8.RuneSelf {
			i++
			continue
		}
		if r, n := utf8.DecodeRune(head[i:]); r != utf8.RuneError {
			i += n
			continue
		}
		if c < 0xa0 && utf8.FullRune(head[i:]) {
			return false
		}
		i++
	}
	return true
}

// isParquet reports whether an uncompressed file has the magic of Parquet at both ends.
func (s *source) isParquet() bool {
	const magic = "PAR1"
	if s.at == nil || s.size < 12 {
		return false
	}
	var b [len(magic)]byte
	for _, off := range []int64{0, s.size - int64(len(magic))} {
		if _, err := s.at.ReadAt(b[:], off); err != nil || string(b[:]) != magic {
			return false
		}
	}
	return true
}

// isArrow reports whether an input begins as an Arrow stream does, or is a file that begins
// as an Arrow file does.
func (s *source) isArrow() bool {
	return s.packed == None && (string(s.head) == "\xff\xff\xff\xff" || s.isArrowFile())
}

// isArrowFile reports whether a file that is not compressed begins as an Arrow file does.
func (s *source) isArrowFile() bool {
	const magic = "ARROW1\x00\x00"
	var b [len(magic)]byte
	if s.at == nil {
		return false
	}
	_, err := s.at.ReadAt(b[:], 0)
	return err == nil && string(b[:]) == magic
}
