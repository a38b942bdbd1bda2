// Package thrift reads, edits and writes values in Apache Thrift's compact protocol without
// knowing their schema, so that an edit keeps fields that are unknown to this program.
//
// Source: apache/thrift, doc/specs/thrift-compact-protocol.md.
package thrift
