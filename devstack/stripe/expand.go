package stripe

import "strings"

// expandables are the fields, by kind of object, in which an ID gives way to its object if a request asks for it.
var expandables = map[string][]string{
	"checkout.session":          {"payment_intent", "line_items"},
	"payment_intent":            {"latest_charge"},
	"charge":                    {"payment_intent", "refunds"},
	"refund":                    {"payment_intent", "charge"},
	"dispute":                   {"payment_intent", "charge"},
	"radar.early_fraud_warning": {"payment_intent", "charge"},
}

// fieldKinds is what is behind an expandable field.
var fieldKinds = map[string]string{
	"payment_intent": "payment_intent", "latest_charge": "charge", "charge": "charge",
}

const deepestExpansion = 4

// expandable refuses what cannot be expanded, before anything is carried out.
func (s *Server) expandable(r *route, paths []string) *apiError {
	for _, path := range paths {
		steps := strings.Split(path, ".")
		if len(steps) > deepestExpansion {
			return refuse("", "expand", "You cannot expand more than %d levels of a property. Property: "+
				"%s.", deepestExpansion, path)
		}
		what := r.operation[:strings.LastIndex(r.operation, ".")]
		if strings.HasSuffix(r.operation, ".list") {
			if steps[0] != "data" {
				return cannotExpand(path)
			}
			steps = steps[1:]
		}
		for _, step := range steps {
			allowed := false
			for _, field := range expandables[what] {
				allowed = allowed || field == step
			}
			if !allowed {
				return cannotExpand(path)
			}
			what = fieldKinds[step]
		}
	}
	return nil
}

func cannotExpand(path string) *apiError {
	return refuse("", "expand", "This property cannot be expanded (%s).", path)
}

// expandAll puts objects in the place of their IDs.
func (s *Server) expandAll(o object, paths []string) {
	for _, path := range paths {
		s.expandPath(o, strings.Split(path, "."))
	}
}

func (s *Server) expandPath(o object, path []string) {
	if len(path) == 0 {
		return
	}
	if path[0] == "data" && o["object"] == "list" {
		data, _ := o["data"].([]object)
		for _, each := range data {
			s.expandPath(each, path[1:])
		}
		return
	}
	switch id, _ := o["id"].(string); path[0] {
	case "line_items":
		if r, ok := s.state.byID[id].(*session); ok {
			o["line_items"] = r.renderLines()
		}
		return
	case "refunds":
		if r, ok := s.state.byID[id].(*charge); ok {
			o["refunds"] = s.renderRefunds(r)
		}
		return
	}
	switch v := o[path[0]].(type) {
	case string:
		if r := s.state.byID[v]; r != nil {
			deeper := r.render(s)
			s.expandPath(deeper, path[1:])
			o[path[0]] = deeper
		}
	case object:
		s.expandPath(v, path[1:])
	}
}
