package endpoint

import (
	"net/http"
	"slices"

	"keyturn.dev/keyturn"
)

// LooksUp reports whether an integration can be asked if a create was carried out.
func LooksUp(in keyturn.Integration) bool {
	_, ok := in.Operations[lookUpOperation]
	return ok
}

// NotIssued reports whether a look-up's verdict is that the partner has issued nothing.
func NotIssued(in keyturn.Integration, v Verdict) bool {
	not := in.Operations[lookUpOperation].NotFound
	if not == nil {
		not = &keyturn.NotFound{HTTPStatus: []int{http.StatusNotFound}}
	}
	return slices.Contains(not.HTTPStatus, v.HTTPStatus) ||
		v.ErrorCode != "" && slices.Contains(not.ErrorCodes, v.ErrorCode)
}

// lookUp checks what only the look-up has.
func (c *checker) lookUp(at, name string, def keyturn.Operation) {
	if name != lookUpOperation {
		c.Check(def.Method == "", at+".method", "belongs to lookup alone: all others are POST")
		c.Check(def.NotFound == nil, at+".notFound", "belongs to lookup alone")
		return
	}
	c.Check(slices.Contains([]string{"", http.MethodGet, http.MethodPost}, def.Method), at+".method",
		"must be GET or POST")
	c.Check(def.Method == http.MethodPost || def.BodyTemplate == "", at+".bodyTemplate", "needs method POST")
	c.Check(def.Method == http.MethodPost || def.Signature == nil || !def.Signature.InjectInBody,
		at+".signature.injectInBody", "needs method POST")
	c.Check(def.URLComplement != "" || def.Method == http.MethodPost, at+".urlComplement",
		"is required for GET: it says which fulfillment is asked for, as in /licenses/{{.LicenseID}}")
	given := false
	for _, value := range []string{nameCode, nameLink, nameFile} {
		_, has := def.ResponsePaths[value]
		given = given || has
	}
	c.Check(given, at+".responsePaths",
		"must say where an issued activationCode, activationLink or activationFileContent is")
	if not := def.NotFound; not != nil {
		c.Check(len(not.HTTPStatus)+len(not.ErrorCodes) > 0, at+".notFound", "must name an httpStatus or an errorCode")
		for i, status := range not.HTTPStatus {
			c.Check(status >= 200 && status <= 499, index(at+".notFound.httpStatus", i),
				"must be an HTTP status between 200 and 499")
		}
		for i, code := range not.ErrorCodes {
			c.Check(keyturn.CleanText(code, 1, maxErrorCode), index(at+".notFound.errorCodes", i),
				"must be 1 to %d printable characters", maxErrorCode)
		}
	}
}
