// Package profile describes the columns of a table without showing their values: how many
// values are missing, how many are different, what they look like, and whether they may
// identify people.
//
// A [Column] counts values one at a time in constant memory. It classifies each value by
// its characters (see [Kind]), verifies the check digits of common national numbers, and
// estimates the number of different values by HyperLogLog. [Columns.Report] turns the
// counts into a [Report]. A report contains counts, lengths and names of columns, and
// never a value or a part of one.
//
// Whether a column identifies people is a guess from its values and from words in its
// name. It helps to find columns; it does not prove that a file is anonymous.
package profile
