package message

import (
	"encoding/json"
	"net/http"
	"strings"

	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/seed"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// numbered finds the autonumber column that a message names; the documentation
// spells the names as schema names (create-auto-number-attributes).
func numbered(c change.Writer, table, column json.RawMessage) (*entity.Table, *entity.Column, error) {
	var tn, cn string
	if json.Unmarshal(table, &tn) != nil || json.Unmarshal(column, &cn) != nil {
		return nil, nil, wire.BadPayload("The properties 'EntityName' and 'AttributeName' were expected.")
	}
	t := c.Schema.Model.Table(strings.ToLower(tn))
	if t == nil {
		return nil, nil, wire.Refuse(http.StatusNotFound, "0x80041102", "The entity with a name = '%s' was not found in the MetadataCache.", tn)
	}
	col := t.Column(strings.ToLower(cn))
	if col == nil || col.AutoNumber == "" {
		return nil, nil, wire.Refuse(http.StatusBadRequest, "0x80040203", "The attribute %s of the entity %s is not an auto number attribute.", cn, tn)
	}
	return t, col, nil
}

// setSeed is SetAutoNumberSeed.
func setSeed(c change.Writer) (object, error) {
	m, err := members(c)
	if err != nil {
		return nil, err
	}
	t, col, err := numbered(c, m["EntityName"], m["AttributeName"])
	if err != nil {
		return nil, err
	}
	var n int64
	if json.Unmarshal(m["Value"], &n) != nil || n < 0 {
		return nil, wire.BadPayload("The property 'Value' must be a number.")
	}
	return nil, c.Update(func(a *platform.Act) error {
		seed.Set(a.Tx, t.LogicalName, col.LogicalName, n)
		return nil
	})
}

// getSeed is GetAutoNumberSeed, an action (Web API reference).
func getSeed(c change.Writer) (object, error) {
	n, err := nextSeed(c)
	return object{"AutoNumberSeedValue": n}, err
}

// nextNumber is GetNextAutoNumberValue, an action: the number that the next row
// gets, not the text it is part of (GetNextAutoNumberValueResponse: Edm.Int64).
func nextNumber(c change.Writer) (object, error) {
	n, err := nextSeed(c)
	return object{"NextAutoNumberValue": n}, err
}

func nextSeed(c change.Writer) (n int64, err error) {
	m, err := members(c)
	if err != nil {
		return 0, err
	}
	t, col, err := numbered(c, m["EntityName"], m["AttributeName"])
	if err != nil {
		return 0, err
	}
	err = c.View(func(tx *store.Tx) error {
		n = seed.Of(tx, t.LogicalName, col.LogicalName)
		return nil
	})
	return n, err
}
