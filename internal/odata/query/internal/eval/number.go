package eval

import (
	"math/big"
	"strings"

	"allod"
)

// arithmetic applies add, sub, mul, div, divby and mod; null if either side
// is.
func arithmetic(op string, a, b val) (val, error) {
	switch {
	case a.k == kNull || b.k == kNull:
		return val{}, nil
	case a.k == kNum && b.k == kNum:
		return numbers(op, a, b)
	case a.k == kDateTime && b.k == kDuration && op == "add", a.k == kDuration && b.k == kDuration && op == "add":
		return seconds(a.k, a.num+b.num, int64(a.sub)+int64(b.sub)), nil
	case a.k == kDateTime && b.k == kDuration && op == "sub", a.k == kDuration && b.k == kDuration && op == "sub":
		return seconds(a.k, a.num-b.num, int64(a.sub)-int64(b.sub)), nil
	case a.k == kDateTime && b.k == kDateTime && op == "sub":
		return seconds(kDuration, a.num-b.num, int64(a.sub)-int64(b.sub)), nil
	case a.k == kDate && b.k == kDate && op == "sub":
		return val{k: kDuration, num: (a.num - b.num) * 86400}, nil
	case a.k == kDate && b.k == kDuration && (op == "add" || op == "sub"):
		d := floorDiv(b.num, 86400)
		if op == "sub" {
			d = floorDiv(-b.num, 86400)
		}
		return val{k: kDate, num: a.num + d}, nil
	}
	return val{}, allod.Errorf(allod.Invalid, "evaluate: operands of %q do not fit", op)
}

// seconds carries nanoseconds over.
func seconds(k kind, sec, nano int64) val {
	carry := floorDiv(nano, 1e9)
	sec, nano = sec+carry, nano-carry*1e9
	if k == kDuration && sec < 0 && nano > 0 {
		sec, nano = sec+1, nano-1e9
	}
	return val{k: k, num: sec, sub: int32(nano)}
}

func numbers(op string, a, b val) (val, error) {
	whole := a.big == nil && b.big == nil && a.sub == 0 && b.sub == 0
	if zero := b.big == nil && b.num == 0 || b.big != nil && b.big.Sign() == 0; zero && (op == "div" || op == "divby" || op == "mod") {
		return val{}, allod.Errorf(allod.Invalid, "evaluate: division by zero")
	}
	if whole && b.num != -1 {
		switch op {
		case "div":
			return intVal(a.num / b.num), nil
		case "mod":
			return intVal(a.num % b.num), nil
		}
	}
	const half = 1 << 30
	if a.big == nil && b.big == nil && a.sub == b.sub && abs(a.num) < half && abs(b.num) < half {
		switch op {
		case "add":
			return val{k: kNum, num: a.num + b.num, sub: a.sub}, nil
		case "sub":
			return val{k: kNum, num: a.num - b.num, sub: a.sub}, nil
		}
	}
	x, y, r := a.rat(), b.rat(), new(big.Rat)
	switch op {
	case "add":
		r.Add(x, y)
	case "sub":
		r.Sub(x, y)
	case "mul":
		r.Mul(x, y)
	case "div", "divby":
		r.Quo(x, y)
		if whole && op == "div" {
			r.SetInt(new(big.Int).Quo(r.Num(), r.Denom()))
		}
	case "mod":
		q := new(big.Rat).Quo(x, y)
		q.SetInt(new(big.Int).Quo(q.Num(), q.Denom()))
		r.Sub(x, q.Mul(q, y))
	}
	return fromRat(r)
}

// maxBits bounds what arithmetic may build.
const maxBits = 1 << 14

func fromRat(r *big.Rat) (val, error) {
	if r.IsInt() && r.Num().IsInt64() {
		return intVal(r.Num().Int64()), nil
	}
	if r.Num().BitLen() > maxBits || r.Denom().BitLen() > maxBits {
		return val{}, allod.Errorf(allod.Invalid, "evaluate: a number with too many digits")
	}
	return val{k: kNum, big: r}, nil
}

func negate(v val) (val, error) {
	switch v.k {
	case kNull, kNaN:
		return v, nil
	case kInf:
		v.num = -v.num
		return v, nil
	case kDuration:
		v.num, v.sub = -v.num, -v.sub
		return v, nil
	case kNum:
		if v.big == nil && v.num != -1<<63 {
			v.num = -v.num
			return v, nil
		}
		return fromRat(new(big.Rat).Neg(v.rat()))
	default:
		return val{}, allod.Errorf(allod.Invalid, "evaluate: the operand of \"-\" does not fit")
	}
}

// rounding applies round (halves away from zero), floor and ceiling.
func rounding(name string, v val) (val, error) {
	if v.k != kNum {
		if v.k == kNull || v.k == kNaN || v.k == kInf {
			return v, nil
		}
		return val{}, allod.Errorf(allod.Invalid, "evaluate: the argument of %s is not a number", name)
	}
	r := new(big.Rat).Set(v.rat())
	switch name {
	case "ceiling":
		r.Neg(r)
	case "round":
		half := big.NewRat(1, 2)
		if r.Sign() < 0 {
			r.Sub(r, half)
		} else {
			r.Add(r, half)
		}
		return fromRat(r.SetInt(new(big.Int).Quo(r.Num(), r.Denom())))
	}
	n := new(big.Int).Div(r.Num(), r.Denom()) // Euclidean: floor, as the denominator is positive
	if name == "ceiling" {
		n.Neg(n)
	}
	return fromRat(r.SetInt(n))
}

// decimalText returns a number in decimal digits, at most 28 behind the point.
func decimalText(v val) string {
	s := v.rat().FloatString(28)
	if strings.IndexByte(s, '.') >= 0 {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}
