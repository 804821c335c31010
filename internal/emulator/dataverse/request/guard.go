package request

import (
	"net/http"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// Guard refuses headers that ask for what the user may not do: acting as
// another (protocols/dataverse.md §6.8) and bypassing custom logic (§6.9).
func (c *Call) Guard() error {
	if err := c.mayImpersonate(); err != nil {
		return err
	}
	return c.mayBypass()
}

func (c *Call) mayBypass() error {
	if text := c.Header.Get("MSCRM.BypassBusinessLogicExecution"); text != "" {
		for _, part := range strings.Split(text, ",") {
			if p := strings.TrimSpace(part); p != "CustomSync" && p != "CustomAsync" {
				return wire.Refuse(http.StatusBadRequest, "0x80040203", "The value '%s' of the header MSCRM.BypassBusinessLogicExecution is invalid.", p)
			}
		}
		if err := access.Need(c.User, "prvBypassCustomBusinessLogic"); err != nil {
			return err
		}
	}
	if text := c.Header.Get("MSCRM.BypassBusinessLogicExecutionStepIds"); text != "" {
		if err := access.Need(c.User, "prvBypassCustomBusinessLogic"); err != nil {
			return err
		}
		if n, most := strings.Count(text, ",")+1, c.Org.Number("bypass-steps"); n > most { // the code is assumed
			return wire.Refuse(http.StatusBadRequest, "0x80040203", "%d steps are to be bypassed; the organization allows %d.", n, most)
		}
	}
	if strings.EqualFold(c.Header.Get("MSCRM.BypassCustomPluginExecution"), "true") {
		return access.Need(c.User, "prvBypassCustomPlugins")
	}
	return nil
}

// mayImpersonate: the caller needs the privilege, and the user must exist and
// be enabled. From here on both need a right for what is asked.
func (c *Call) mayImpersonate() error {
	id, object := c.Header.Get("MSCRMCallerID"), c.Header.Get("CallerObjectId")
	if id == "" && object == "" {
		return nil
	}
	c.User = c.User.For(nil, false) // a part of a batch had the user of the batch
	if err := access.Need(c.User, "prvActOnBehalfOfAnotherUser"); err != nil {
		return err
	}
	return c.View(func(tx *store.Tx) error {
		user, ok := c.Impersonated(tx)
		if !ok {
			if id == "" {
				id = object
			}
			if _, err := allod.ParseGUID(id); err != nil {
				return wire.Refuse(http.StatusBadRequest, "0x80040203", "The id of the user to impersonate is not a GUID.")
			}
			return wire.NoRow("systemuser", id)
		}
		if tx.Value("systemuser", tx.Get("systemuser", user), "isdisabled").Bool() {
			return wire.Refuse(http.StatusForbidden, "0x80040225", "The specified user(Id = %v) is disabled. Consider enabling this user.", user)
		}
		c.User = c.User.For(access.Of(tx, user), c.Org.Assume["impersonated-privileges"] == "caller")
		return nil
	})
}

// KeyText refuses to read or change the row of a key by values with characters for
// which Microsoft says that GET and PATCH do not work ("Define alternate keys using
// Power Apps"; §3.4). What the service answers is not documented: status and code are
// assumed, and key-characters switches it off.
func (c *Call) KeyText(seg *query.Segment) error {
	if c.Method != http.MethodGet && c.Method != http.MethodPatch || c.Org.Assume["key-characters"] == "allow" {
		return nil
	}
	for _, arg := range seg.Args {
		if lit, ok := arg.Value.(*query.Literal); ok && arg.Name != "" && lit.Kind == query.LitString && strings.ContainsAny(lit.Text, `/#<>*%&:\?+`) {
			return wire.Refuse(http.StatusBadRequest, "0x80060888", "Bad Request - Error in query syntax.")
		}
	}
	return nil
}
