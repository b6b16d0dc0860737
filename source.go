package keyturn

import (
	"slices"
	"strings"
	"time"
)

// SourceType says where a deliverable comes from.
type SourceType string

// The source types.
const (
	SourcePool       SourceType = "pool"
	SourceEndpoint   SourceType = "endpoint"
	SourceDynamicURL SourceType = "dynamicurl"
	SourceManual     SourceType = "manual"
)

// SourceTypes is the one table of source types: validation, names, the step that a line needs, the limits of partners
// and the order page all read it. CONTRIBUTING.md says how to add one.
var SourceTypes = []SourceInfo{
	{Type: SourcePool, First: DoClaim, Field: "pool", InName: true},
	{Type: SourceEndpoint, First: DoCall, Field: "integration", InName: true},
	{Type: SourceDynamicURL, First: DoCall, Field: "url", Tracked: true}, // a URL may hold a secret, so it is no part of a name
	{Type: SourceManual, First: DoAwait},
}

// SourceInfo is what there is to know of a source type.
type SourceInfo struct {
	Type  SourceType
	First Do // what a line needs of it: DoClaim (keys of ours), DoCall (a partner) or DoAwait (a person)
	// the one field of Source that it requires, by its JSON name; empty: none. pool and integration: one type each
	Field  string
	InName bool // whether Field holds an ID, which is part of the source's name
	// Tracked: the key is the order's tracking number, too, and its customer is shown it under that name.
	Tracked bool
}

// Source is one place a product's deliverable can come from. Of Pool, Integration and URL, exactly the field that its
// type requires is set.
type Source struct {
	Type        SourceType `json:"type"`
	Pool        string     `json:"pool,omitempty"`
	Integration string     `json:"integration,omitempty"`
	URL         string     `json:"url,omitempty"`
	GiveUpAfter Duration   `json:"giveUpAfter,omitempty"` // from its first attempt; 0: until the line's own deadline
}

// FromPool is the source that takes keys from a pool.
func FromPool(id string) Source { return Source{Type: SourcePool, Pool: id} }

// FromIntegration is the source that calls the partner of an integration.
func FromIntegration(id string) Source { return Source{Type: SourceEndpoint, Integration: id} }

// sourceField is a field of Source that a type may require.
type sourceField struct {
	name  string
	value *string
}

func (s *Source) fields() []sourceField {
	return []sourceField{{"pool", &s.Pool}, {"integration", &s.Integration}, {"url", &s.URL}}
}

// Info gives what there is to know of the type; the zero value, if there is no such type.
func (t SourceType) Info() SourceInfo {
	if i := slices.IndexFunc(SourceTypes, func(i SourceInfo) bool { return i.Type == t }); i >= 0 {
		return SourceTypes[i]
	}
	return SourceInfo{}
}

// HasPool says that the source takes keys from a pool of ours, which can be empty.
func (t SourceType) HasPool() bool { return t.Info().Field == "pool" }

// CallsPartner says that the source is somebody else's server.
func (t SourceType) CallsPartner() bool { return t.Info().First == DoCall }

// HasIntegration says that an integration of the catalog describes the partner: its calls are limited and watched, and
// it can be told what happens to a licence later.
func (t SourceType) HasIntegration() bool { return t.Info().Field == "integration" }

// ByHand says that a person supplies the keys.
func (t SourceType) ByHand() bool { return t.Info().First == DoAwait }

// Name is what operators see of a source: its type and the pool or integration behind it. It is safe for Temporal.
func (s Source) Name() string {
	info := s.Type.Info()
	for _, f := range s.fields() {
		if info.InName && f.name == info.Field {
			return string(s.Type) + "/" + *f.value
		}
	}
	return string(s.Type)
}

// ParseSource is the source that has this name, without what its name does not hold. Any other text is a manual source:
// what nobody else can serve is in a person's hands.
func ParseSource(name string) Source {
	kind, id, _ := strings.Cut(name, "/")
	info := SourceType(kind).Info()
	if info.Type == "" {
		return Source{Type: SourceManual}
	}
	s := Source{Type: info.Type}
	for _, f := range s.fields() {
		if info.InName && f.name == info.Field {
			*f.value = id
		}
	}
	return s
}

// PartnerSources are patterns of SQL's LIKE for the names of the sources that call a partner.
func PartnerSources() []string {
	var out []string
	for _, i := range SourceTypes {
		switch {
		case i.First != DoCall:
		case i.InName:
			out = append(out, string(i.Type)+"/%")
		default:
			out = append(out, string(i.Type))
		}
	}
	return out
}

func (s Source) check() error {
	var bad Problems
	bad.Check(s.GiveUpAfter >= 0 && time.Duration(s.GiveUpAfter) <= maxGiveUp, "giveUpAfter", "must be between 0 and %s",
		Duration(maxGiveUp))
	info := s.Type.Info()
	if info.Type == "" {
		names := make([]string, len(SourceTypes))
		for i, known := range SourceTypes {
			names[i] = string(known.Type)
		}
		last := len(names) - 1
		bad.Addf("type", "must be %s or %s", strings.Join(names[:last], ", "), names[last])
		return bad.Err("the source is not valid")
	}
	for _, f := range s.fields() {
		if f.name == info.Field {
			bad.Check(*f.value != "", f.name, "is required for a source of type %s", s.Type)
		} else {
			bad.Check(*f.value == "", f.name, "does not belong to a source of type %s", s.Type)
		}
	}
	return bad.Err("the source is not valid")
}
