package platform

import (
	"maps"
	"net/http"
	"strconv"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/wire"
)

func badState(status, state int64, t *entity.Table, id allod.GUID) error {
	name := strconv.FormatInt(state, 10)
	for _, o := range options(t, "statecode") {
		if int64(o.Value) == state && o.Label != "" {
			name = strings.ReplaceAll(o.Label, " ", "")
		}
	}
	return wire.Refuse(http.StatusBadRequest, "0x80048408", "%d is not a valid status code for state code %sState.%s on %s with Id %v.", status, t.SchemaName, name, t.LogicalName, id)
}

// given returns the integer the payload assigns to the column.
func given(p *wire.Payload, column string) (n int64, ok bool) {
	for _, v := range p.Values {
		if v.Column.LogicalName == column && v.Value.Type() == allod.Integer {
			n, ok = v.Value.Int(), true
		}
	}
	return n, ok
}

func options(t *entity.Table, column string) []entity.Option {
	if c := t.Column(column); c != nil && c.OptionSet != nil {
		return c.OptionSet.Options
	}
	return nil
}

// defaultStatus is DefaultStatus of the state, else the lowest status of it;
// false when the model does not say.
func defaultStatus(t *entity.Table, state int64) (int64, bool) {
	for _, o := range options(t, "statecode") {
		if int64(o.Value) == state && o.DefaultStatus != 0 {
			return int64(o.DefaultStatus), true
		}
	}
	for _, o := range options(t, "statuscode") {
		if int64(o.State) == state {
			return int64(o.Value), true
		}
	}
	return 0, false
}

// pair completes and checks state and status (§6.6).
func pair(t *entity.Table, id allod.GUID, state, status int64, hasState, hasStatus bool) (int64, int64, error) {
	statuses := options(t, "statuscode")
	if hasState && len(options(t, "statecode")) > 0 {
		known := false
		for _, o := range options(t, "statecode") {
			known = known || int64(o.Value) == state
		}
		if !known {
			return 0, 0, wire.Refuse(http.StatusBadRequest, "0x80048408", "State code is invalid or state code is valid but status code is invalid for a specified state code.")
		}
	}
	if !hasStatus {
		var ok bool
		if status, ok = defaultStatus(t, state); !ok {
			status = state + 1
		}
		return state, status, nil
	}
	for _, o := range statuses {
		if int64(o.Value) != status {
			continue
		}
		if hasState && int64(o.State) != state {
			return 0, 0, badState(status, state, t, id)
		}
		return int64(o.State), status, nil
	}
	if len(statuses) > 0 {
		return 0, 0, badState(status, state, t, id)
	}
	return state, status, nil
}

// stateNew gives a new row its state. Tables that can be created only in their
// default state refuse another one unless assumed otherwise.
func (a *Act) stateNew(t *entity.Table, r row, p *wire.Payload) error {
	if t.Column("statecode") == nil {
		return nil
	}
	state, hasState := given(p, "statecode")
	status, hasStatus := given(p, "statuscode")
	first := int64(0)
	if o := options(t, "statecode"); len(o) > 0 {
		first = int64(o[0].Value)
	}
	if !hasState && !hasStatus {
		state = first
	}
	state, status, err := pair(t, allod.GUID{}, state, status, hasState, hasStatus)
	if err != nil {
		return err
	}
	if state != first && OnlyDefaultState(t.LogicalName) {
		if a.Assume("create-in-other-state") == "refuse" {
			return badState(status, state, t, allod.GUID{})
		}
	}
	a.set(t, r, "statecode", allod.IntegerValue(state))
	if t.Column("statuscode") != nil {
		a.set(t, r, "statuscode", allod.IntegerValue(status))
	}
	return nil
}

// OnlyDefaultState reports whether rows of the table can be created only in
// their default state (§6.6).
func OnlyDefaultState(table string) bool {
	switch table {
	case "task", "phonecall", "email", "appointment", "letter", "fax", "quote", "salesorder", "invoice", "opportunity", "incident":
		return true
	}
	return false
}

// closedIsReadOnly names tables whose rows take no change once they left the
// first state (§6.6).
func closedIsReadOnly(table string) bool {
	switch table {
	case "quote", "salesorder", "invoice", "opportunity", "incident":
		return true
	}
	return false
}

// ByMessage maps tables to the state that only a message reaches: state to
// message.
func ByMessage(table string) map[int64]string {
	switch table {
	case "incident":
		return map[int64]string{1: "CloseIncident"}
	case "opportunity":
		return map[int64]string{1: "WinOpportunity", 2: "LoseOpportunity"}
	case "quote":
		return map[int64]string{2: "WinQuote", 3: "CloseQuote"}
	case "salesorder":
		return map[int64]string{2: "CancelSalesOrder", 3: "FulfillSalesOrder"}
	}
	return nil
}

// stateChange checks the state part of an update and writes the completed
// pair into the payload.
func (a *Act) stateChange(t *entity.Table, id allod.GUID, r row, p *wire.Payload) error {
	if t.Column("statecode") == nil {
		return nil
	}
	was := a.get(t, r, "statecode").Int()
	state, hasState := given(p, "statecode")
	status, hasStatus := given(p, "statuscode")
	if !hasState && !hasStatus {
		if was != 0 && closedIsReadOnly(t.LogicalName) && a.Assume("closed-rows") == "read-only" {
			return wire.Refuse(http.StatusBadRequest, "0x80040203", "The %s with Id %v is closed and cannot be changed until it is reactivated.", t.LogicalName, id)
		}
		return nil
	}
	if !hasState {
		state = was
	}
	if !hasStatus && state == was {
		return nil
	}
	state, status, err := pair(t, id, state, status, hasState, hasStatus)
	if err != nil {
		return err
	}
	if m := ByMessage(t.LogicalName)[state]; m != "" && was != state && a.Assume("close-by-patch") == "refuse" {
		return wire.Refuse(http.StatusBadRequest, "0x80040203", "This message can not be used to set the state of %s. In order to set the state of %s, use the %s message instead.", t.LogicalName, t.LogicalName, m)
	}
	p.Values = append(p.Values,
		wire.Assign{Column: t.Column("statecode"), Value: allod.IntegerValue(state)})
	if c := t.Column("statuscode"); c != nil {
		p.Values = append(p.Values, wire.Assign{Column: c, Value: allod.IntegerValue(status)})
	}
	return nil
}

// Close sets the state past the rules for clients; what messages such as
// CloseIncident do. status 0 or below = the state's default.
func (a *Act) Close(t *entity.Table, id allod.GUID, state, status int64) error {
	return a.CloseWith(t, id, state, status, nil)
}

// CloseWith is Close that sets other columns of the row, too.
func (a *Act) CloseWith(t *entity.Table, id allod.GUID, state, status int64, more map[string]allod.Value) error {
	state, status, err := pair(t, id, state, status, true, status > 0)
	if err != nil {
		return err
	}
	values := map[string]allod.Value{"statecode": allod.IntegerValue(state), "statuscode": allod.IntegerValue(status)}
	maps.Copy(values, more)
	was := a.Tx.Get(t.LogicalName, id)
	if err := a.Patch(t, id, values); err != nil {
		return err
	}
	return a.bringChanged(t, id, a.load(was), a.load(a.Tx.Get(t.LogicalName, id)))
}
