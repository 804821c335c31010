package query

// AppendTo implements Expr.
func (e *Literal) AppendTo(dst []byte) []byte { return dst }

// AppendTo implements Expr.
func (e *Unary) AppendTo(dst []byte) []byte { return dst }

// AppendTo implements Expr.
func (e *Binary) AppendTo(dst []byte) []byte { return dst }

// AppendTo implements Expr.
func (e *Call) AppendTo(dst []byte) []byte { return dst }

// AppendTo implements Expr.
func (e *Cast) AppendTo(dst []byte) []byte { return dst }

// AppendTo implements Expr.
func (e *Case) AppendTo(dst []byte) []byte { return dst }

// AppendTo implements Expr.
func (e *Alias) AppendTo(dst []byte) []byte { return dst }

// AppendTo implements Expr.
func (e *List) AppendTo(dst []byte) []byte { return dst }

// AppendTo implements Expr.
func (e *Array) AppendTo(dst []byte) []byte { return dst }

// AppendTo implements Expr.
func (e *Object) AppendTo(dst []byte) []byte { return dst }

// AppendTo implements Expr.
func (e *Path) AppendTo(dst []byte) []byte { return dst }
