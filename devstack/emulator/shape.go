package emulator

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
)

// shape is how a partner writes its answers: where the keys go and where an error goes.
type shape struct {
	success func(keys []string) map[string]any
	failure func(code, message string) map[string]any
}

// The shapes that routes choose by themselves.
const (
	shapeFlat     = "flat"
	shapeLicenses = "licenses"
	shapeDynamic  = "dynamic"
)

// shapes by name. flat is Nexway's own names at the top level, licenses and result are the published custom samples.
var shapes = map[string]shape{
	shapeFlat:     {flatSuccess, flatFailure},
	shapeLicenses: {licensesSuccess, nestedFailure},
	"result":      {resultSuccess, nestedFailure},
	"link":        {linkSuccess, flatFailure},
	"file":        {fileSuccess, flatFailure},
	"ack":         {ackSuccess, flatFailure},
	shapeDynamic:  {dynamicSuccess, dynamicFailure},
}

func isShape(name string) bool { return name != shapeDynamic && shapes[name].success != nil }

func shapeNames() []string {
	var names []string
	for name := range shapes {
		if isShape(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func flatSuccess(keys []string) map[string]any {
	body := map[string]any{"successFlag": "true", "errorCode": "", "errorMessage": ""}
	if len(keys) > 0 {
		body["activationCode"] = keys[0]
	}
	if len(keys) > 1 {
		body["activationCodes"] = keys
	}
	return body
}

func flatFailure(code, message string) map[string]any {
	return map[string]any{"errorCode": code, "errorMessage": message}
}

func licensesSuccess(keys []string) map[string]any {
	list := make([]any, 0, len(keys))
	for _, key := range keys {
		list = append(list, map[string]any{"key": key, "expiresAt": "2099-12-31T00:00:00Z"})
	}
	return map[string]any{"licenses": list}
}

func resultSuccess(keys []string) map[string]any {
	result := map[string]any{}
	if len(keys) > 0 {
		result["licenseKey"] = keys[0]
	}
	if len(keys) > 1 {
		result["licenseKeys"] = keys
	}
	return map[string]any{"result": result}
}

func nestedFailure(code, message string) map[string]any {
	return map[string]any{"error": map[string]any{"code": code, "message": message}}
}

func linkSuccess(keys []string) map[string]any {
	body := map[string]any{}
	if len(keys) > 0 {
		body["activationLink"] = activationLink(keys[0])
	}
	return body
}

func fileSuccess(keys []string) map[string]any {
	body := map[string]any{}
	if len(keys) > 0 {
		body["activationFileContent"] = activationFile(keys[0])
	}
	return body
}

func ackSuccess([]string) map[string]any { return map[string]any{} }

func dynamicSuccess(keys []string) map[string]any {
	body := map[string]any{"status": 200, "message": "OK"}
	if len(keys) > 0 {
		body["data"] = keys[0]
	}
	return body
}

func dynamicFailure(code, message string) map[string]any {
	return map[string]any{"status": http.StatusUnprocessableEntity, "message": code + ": " + message}
}

func jsonReply(status int, body any) reply {
	text, err := json.Marshal(body)
	if err != nil { // only maps, strings and numbers come here
		return reply{status: http.StatusInternalServerError}
	}
	return reply{status: status, contentType: "application/json", body: text}
}

// shape is how the call is answered: as the partner's paths say, or else its route.
func (c *call) shape() shape {
	if len(c.settings.Paths) > 0 && !c.route.dynamic {
		return pathShape(c.settings.Paths)
	}
	return shapes[c.route.shape]
}

// failure is an error in the shape of the call's route.
func (c *call) failure(status int, code, message string) reply {
	if c.settings.writesText() && !c.route.dynamic {
		return textReply(status, []string{code + ": " + message})
	}
	return jsonReply(status, c.shape().failure(code, message))
}

// textReply has the line ends that a Windows server writes.
func textReply(status int, lines []string) reply {
	text := ""
	for _, line := range lines {
		text += line + "\r\n"
	}
	return reply{status: status, contentType: "text/plain; charset=utf-8", body: []byte(text)}
}

// textOf is what a text holds for the keys.
func textOf(paths map[string]string, keys []string) []string {
	switch {
	case len(keys) == 0 || paths["activationCode"] != "" || paths["activationLink"]+paths["activationFileContent"] == "":
		return keys
	case paths["activationLink"] != "":
		return []string{activationLink(keys[0])}
	}
	return []string{activationFile(keys[0])}
}

func activationLink(key string) string { return "https://download.partner.test/activate/" + key }

func activationFile(key string) string {
	return base64.StdEncoding.EncodeToString([]byte("license=" + key + "\n"))
}
