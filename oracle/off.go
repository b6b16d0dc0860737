//go:build !oracle

package oracle

// Is says whether the bug is planted: in this build none is.
func Is(string) bool { return false }

// Statement gives an SQL statement as the planted bug has it: in this build as it is.
func Statement(query string) string { return query }
