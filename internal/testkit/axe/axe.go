// Package axe has axe-core, which finds what keeps people with disabilities from using a page. axe.min.js is the file
// of the npm package axe-core 4.14.1, unchanged, under the Mozilla Public License 2.0 (LICENSE). Only tests use it.
package axe

import _ "embed"

// Script defines the global axe in the page that runs it.
//
//go:embed axe.min.js
var Script string
