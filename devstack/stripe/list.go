package stripe

import "slices"

// listParams are the parameters of every list, and further ones of this.
func listParams(more params) params {
	all := params{
		"limit": {kind: integer}, "starting_after": {}, "ending_before": {},
		"created": fields(params{
			"gt": {kind: integer}, "gte": {kind: integer}, "lt": {kind: integer}, "lte": {kind: integer},
		}),
	}
	for name, p := range more {
		all[name] = p
	}
	return all
}

// page answers a list: the newest first, from where the request says.
func page[R record](c *call, url string, all []R, fits func(R) bool) (object, *apiError) {
	limit, sent := c.args.number("limit")
	if !sent {
		limit = 10
	}
	if limit < 1 || limit > 100 {
		return nil, refuse("parameter_invalid_integer", "limit", "Invalid limit: must be between 1 and 100")
	}
	after, before := c.args.text("starting_after"), c.args.text("ending_before")
	if after != "" && before != "" {
		return nil, refuse("parameters_exclusive", "starting_after",
			"Received both starting_after and ending_before parameters. Please pass in only one.")
	}
	var found []R
	for _, r := range slices.Backward(all) {
		if (fits == nil || fits(r)) && c.createdFits(r.created()) {
			found = append(found, r)
		}
	}
	at := func(id string) int { return slices.IndexFunc(found, func(r R) bool { return r.id() == id }) }
	more := false
	switch {
	case after != "":
		i := at(after)
		if i < 0 {
			return nil, missing(kindOf(all), after)
		}
		found = found[i+1:]
	case before != "":
		i := at(before)
		if i < 0 {
			return nil, missing(kindOf(all), before)
		}
		found = found[:i]
		more = len(found) > int(limit)
		found = found[max(0, len(found)-int(limit)):]
	}
	if len(found) > int(limit) {
		found, more = found[:limit], true
	}
	data := []object{}
	for _, r := range found {
		data = append(data, r.render(c.Server))
	}
	return object{"object": "list", "url": url, "has_more": more, "data": data}, nil
}

func kindOf[R record](all []R) string {
	if len(all) == 0 {
		return "object"
	}
	return all[0].kind()
}

func (c *call) createdFits(at int64) bool {
	span := c.args.object("created")
	for name, fits := range map[string]func(int64) bool{
		"gt":  func(v int64) bool { return at > v },
		"gte": func(v int64) bool { return at >= v },
		"lt":  func(v int64) bool { return at < v },
		"lte": func(v int64) bool { return at <= v },
	} {
		if v, sent := span.number(name); sent && !fits(v) {
			return false
		}
	}
	return true
}
