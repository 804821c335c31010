package wire

import (
	"math/big"
	"strconv"

	"allod"
	"allod/internal/emulator/dataverse/entity"
)

// Number is a sum or average in the type of its column: whole numbers stay
// whole, as in SQL, and a double is the nearest there is. How many digits
// others have differs from one query language to the next: decimal writes them.
func Number(n *big.Rat, c *entity.Column, decimal func(*big.Rat) string) allod.Value {
	switch c.EdmType {
	case "Edm.Int32", "Edm.Int64":
		q := new(big.Int).Quo(n.Num(), n.Denom())
		if q.IsInt64() {
			return allod.IntegerValue(q.Int64())
		}
		return allod.TextValue(allod.Decimal, q.String())
	case "Edm.Double":
		f, _ := n.Float64() // the nearest is what a double is
		return allod.TextValue(allod.Double, strconv.FormatFloat(f, 'f', -1, 64))
	}
	return allod.TextValue(allod.Decimal, decimal(n))
}
