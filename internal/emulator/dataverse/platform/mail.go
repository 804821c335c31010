package platform

import (
	"allod"
	"allod/internal/emulator/dataverse/entity"
)

// State and status of e-mail on its way (Email table reference).
const (
	MailDone    = 1 // state of mail that is no draft
	mailSent    = 3
	MailPending = 6
	mailSending = 7
)

// MailSent marks the e-mail as sent now.
func (a *Act) MailSent(t *entity.Table, id allod.GUID) error {
	return a.Patch(t, id, map[string]allod.Value{
		"statecode": allod.IntegerValue(MailDone), "statuscode": allod.IntegerValue(mailSent), "senton": a.now(), "actualend": a.now(),
	})
}

// Synchronise does what server-side synchronisation does with mail: it sends
// every e-mail that is Pending Send or Sending, wherever it came from, if the
// mailbox of its sender does, and returns how many those were.
func (a *Act) Synchronise() (int, error) {
	t := a.Schema.Model.Table("email")
	if t == nil || !a.Tx.Has("email") {
		return 0, nil
	}
	n := 0
	for _, status := range []int64{MailPending, mailSending} {
		for _, id := range a.Tx.Find("email", "statuscode", allod.IntegerValue(status)) {
			if !a.exchange().Sends(id) {
				continue
			}
			if err := a.MailSent(t, id); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}
