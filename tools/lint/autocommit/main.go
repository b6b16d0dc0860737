// Command autocommit reports writes to the database outside of a transaction.
//
// The PostgreSQL driver sends a statement a second time, without an error, when the connection closes after the first
// was executed and before the answer arrived. Within a transaction that cannot happen: the second connection knows
// nothing of it. So outside of a transaction a program may only read, and only with a query that is a constant, so that
// it can be seen to read.
//
// A line with the comment `//keyturn:autocommit REASON` is let through: some statements, such as CREATE DATABASE, are
// not allowed in a transaction. Test files are not checked.
package main

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"regexp"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/singlechecker"
)

func main() { singlechecker.Main(analyzer) }

var analyzer = &analysis.Analyzer{
	Name: "autocommit",
	Doc:  "reports writes to the database outside of a transaction",
	Run:  run,
}

// handles are the types whose statements run outside of a transaction.
var handles = map[string]bool{
	"database/sql.DB": true, "database/sql.Conn": true,
	"github.com/jmoiron/sqlx.DB": true, "github.com/jmoiron/sqlx.Conn": true,
	"keyturn.dev/keyturn/pg.DB": true,
}

var (
	// What a prepared statement will be used for cannot be seen, so preparing counts as writing.
	writing = regexp.MustCompile(`^(Must|Named)?Exec|^Prepare|^NamedQuery`)
	reading = regexp.MustCompile(`^Query|^Get|^Select`)
	write   = regexp.MustCompile(`(?i)\b(insert|update|delete|merge|truncate|call|do|copy|lock)\b`)
)

const (
	adviceTx       = "; use a transaction, or explain with //keyturn:autocommit"
	messageWrite   = "%s writes outside of a transaction" + adviceTx
	messageUnknown = "%s runs a query outside of a transaction that is not a constant" + adviceTx
	messageGiven   = "a %s is given to something that can write with it outside of a transaction" + adviceTx
)

func run(pass *analysis.Pass) (any, error) {
	for _, file := range pass.Files {
		if strings.HasSuffix(pass.Fset.Position(file.Pos()).Filename, "_test.go") {
			continue
		}
		explained := explainedLines(pass.Fset, file)
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if ok && !explained[pass.Fset.Position(call.Pos()).Line] {
				checkMethod(pass, call)
				checkArguments(pass, call)
			}
			return true
		})
	}
	return nil, nil
}

// explainedLines are the lines with an explanation, and the ones below it.
func explainedLines(fset *token.FileSet, file *ast.File) map[int]bool {
	lines := map[int]bool{}
	for _, group := range file.Comments {
		for _, comment := range group.List {
			_, reason, found := strings.Cut(comment.Text, "keyturn:autocommit")
			if found && strings.TrimSpace(reason) != "" {
				line := fset.Position(comment.Pos()).Line
				lines[line], lines[line+1] = true, true
			}
		}
	}
	return lines
}

// checkMethod looks at the method that is really called, which may be one of an embedded handle.
func checkMethod(pass *analysis.Pass, call *ast.CallExpr) {
	selector, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if !ok {
		return
	}
	method, ok := pass.TypesInfo.ObjectOf(selector.Sel).(*types.Func)
	if !ok || method.Signature().Recv() == nil || !isHandle(method.Signature().Recv().Type()) {
		return
	}
	switch name := method.Name(); {
	case writing.MatchString(name):
		pass.Reportf(call.Pos(), messageWrite, name)
	case reading.MatchString(name):
		query, found := queryArgument(pass, method, call)
		if !found {
			pass.Reportf(call.Pos(), messageUnknown, name)
		} else if write.MatchString(query) {
			pass.Reportf(call.Pos(), messageWrite, name)
		}
	}
}

// queryArgument is the value of the argument for the parameter named query, when it is a constant.
func queryArgument(pass *analysis.Pass, method *types.Func, call *ast.CallExpr) (string, bool) {
	parameters := method.Signature().Params()
	for i := range min(parameters.Len(), len(call.Args)) {
		value := pass.TypesInfo.Types[call.Args[i]].Value
		if parameters.At(i).Name() == "query" && value != nil && value.Kind() == constant.String {
			return constant.StringVal(value), true
		}
	}
	return "", false
}

// checkArguments looks for a handle that hides behind an interface with which one can write, such as sqlx.ExtContext.
func checkArguments(pass *analysis.Pass, call *ast.CallExpr) {
	signature, ok := types.Unalias(pass.TypesInfo.TypeOf(call.Fun)).(*types.Signature)
	if !ok {
		return
	}
	for i, arg := range call.Args {
		if i >= signature.Params().Len() || !isHandle(pass.TypesInfo.TypeOf(arg)) {
			continue
		}
		wanted, ok := signature.Params().At(i).Type().Underlying().(*types.Interface)
		if ok && canWrite(wanted) {
			pass.Reportf(arg.Pos(), messageGiven, types.TypeString(pass.TypesInfo.TypeOf(arg), nil))
		}
	}
}

func canWrite(i *types.Interface) bool {
	for method := range i.Methods() {
		if writing.MatchString(method.Name()) {
			return true
		}
	}
	return false
}

func isHandle(t types.Type) bool {
	if t == nil {
		return false
	}
	if pointer, ok := types.Unalias(t).(*types.Pointer); ok {
		t = pointer.Elem()
	}
	named, ok := types.Unalias(t).(*types.Named)
	return ok && named.Obj().Pkg() != nil && handles[named.Obj().Pkg().Path()+"."+named.Obj().Name()]
}
