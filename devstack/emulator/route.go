package emulator

import (
	"net/http"
	"slices"
	"strings"
)

// Operations as the journal and DrillOps name them.
const (
	opCreate = "create"
	opRenew  = "renew"
	opUpgr   = "upgrade"
	opCancel = "cancel"
	opPause  = "pause"
	opResume = "resume"
	opLookup = "lookup"
	opToken  = "token"
)

var drillableOps = []string{opCreate, opRenew, opUpgr, opCancel, opPause, opResume, opLookup, opToken}

// operations by the last word of a path, with Nexway's older words.
var operations = map[string]string{
	"new": opCreate, "create": opCreate, "renew": opRenew, "upgrade": opUpgr, "cancel": opCancel,
	"pause": opPause, "suspend": opPause, "resume": opResume, "reactivate": opResume,
}

// issues reports whether an operation is answered with a key.
func issues(op string) bool { return op == opCreate || op == opRenew || op == opUpgr }

// route is what a path asks for.
type route struct {
	partner  string
	op       string // empty: no such route; "?" in a custom route: the body says it
	method   string
	shape    string // of the reply; empty: as the partner's settings say
	lookupID string
	dynamic  bool
}

const (
	defaultPartner = "default"
	opFromBody     = "?"
)

// parseRoute reads a path from its end, because any base path may come before.
func parseRoute(path string) route {
	words := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	rt := route{partner: defaultPartner, method: http.MethodPost}
	if len(words) >= 2 && words[0] == "p" && partnerName.MatchString(words[1]) {
		rt.partner, words = words[1], words[2:]
	}
	if len(words) == 0 {
		return rt
	}
	last, before := words[len(words)-1], ""
	if len(words) > 1 {
		before = words[len(words)-2]
	}
	if i := slices.Index(words, "custom"); i >= 0 {
		rt.shape, rt.op = shapeLicenses, opFromBody
		if i+1 < len(words) && isShape(words[i+1]) {
			rt.shape = words[i+1]
		}
	}
	switch op := operations[last]; {
	case last == "dynamic":
		rt.op, rt.dynamic, rt.shape = opCreate, true, shapeDynamic
	case last == "token" && before == "oauth":
		rt.op = opToken
	case before == "licenses" && op != "", rt.op == opFromBody && op != "":
		rt.op = op
	case before == "licenses" && last != "":
		rt.op, rt.lookupID, rt.method = opLookup, last, http.MethodGet
	}
	return rt
}
