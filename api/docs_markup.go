package api

import (
	"html/template"
	"strings"
)

// markup shows the Markdown that descriptions have: paragraphs, tables, and `code`.
func markup(text string) template.HTML {
	var out strings.Builder
	for block := range strings.SplitSeq(text, "\n\n") {
		switch {
		case block == "":
		case strings.HasPrefix(block, "|"):
			out.WriteString(table(block))
		default:
			out.WriteString("<p>" + inline(block) + "</p>\n")
		}
	}
	return template.HTML(out.String()) //nolint:gosec // inline escapes all of it
}

// table shows rows of cells. The first row names the columns, the second one rules them off.
func table(rows string) string {
	var out strings.Builder
	out.WriteString("<table>\n")
	n := 0
	for row := range strings.Lines(rows) {
		n++
		cell := "td"
		switch n {
		case 1:
			cell = "th"
		case 2:
			continue
		}
		out.WriteString("<tr>")
		for text := range strings.SplitSeq(strings.Trim(strings.TrimSpace(row), "|"), "|") {
			out.WriteString("<" + cell + ">" + inline(strings.TrimSpace(text)) + "</" + cell + ">")
		}
		out.WriteString("</tr>\n")
	}
	out.WriteString("</table>\n")
	return out.String()
}

// inline escapes a text, and shows what stands between backquotes as code.
func inline(text string) string {
	parts := strings.Split(text, "`")
	for i, part := range parts {
		parts[i] = template.HTMLEscapeString(part)
		if i%2 == 1 {
			parts[i] = "<code>" + parts[i] + "</code>"
		}
	}
	return strings.Join(parts, "")
}
