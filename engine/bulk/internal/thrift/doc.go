// Package thrift reads, edits and writes values in Apache Thrift's compact protocol
// without knowing their schema, so that fields which are unknown to this program
// survive an edit.
//
// Source: apache/thrift, doc/specs/thrift-compact-protocol.md.
package thrift
