package wire

import (
	"errors"
	"fmt"
	"maps"
	"net/http"

	"allod/internal/odata"
)

// Error is a refusal as the Web API words it (protocols/dataverse.md §9).
type Error struct {
	Status  int
	Code    string // may be ""
	Message string
	Details map[string]string // annotations of this error alone
}

// Error returns code and message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Refuse makes an Error.
func Refuse(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// AsError returns err as the Web API would send it; what is no Error is a 500.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Status: http.StatusInternalServerError, Code: "0x80040216", Message: "An unexpected error occurred: " + err.Error()}
}

// AppendError appends the error body; full adds the annotations that
// include-annotations="*" asks for (§9.1).
func AppendError(dst []byte, e *Error, full bool) []byte {
	body := odata.Error{Code: e.Code, Message: e.Message, Extra: maps.Clone(e.Details)}
	if full {
		if body.Extra == nil {
			body.Extra = map[string]string{}
		}
		maps.Copy(body.Extra, map[string]string{
			"@Microsoft.PowerApps.CDS.ErrorDetails.OperationStatus": "0",
			"@Microsoft.PowerApps.CDS.ErrorDetails.SubErrorCode":    "2146233088",
			"@Microsoft.PowerApps.CDS.HelpLink":                     "http://go.microsoft.com/fwlink/?LinkID=398563&error=Microsoft.Crm.CrmException%3a" + e.Code,
			"@Microsoft.PowerApps.CDS.TraceText":                    "",
			"@Microsoft.PowerApps.CDS.InnerError.Message":           e.Message,
		})
	}
	return body.AppendTo(dst)
}

// The refusals that several places give (§9.3).

// NoSegment is the 404 of a name in the path that means nothing.
func NoSegment(name string) *Error {
	return Refuse(http.StatusNotFound, "0x8006088a", "Resource not found for the segment '%s'.", name)
}

// NoRow is the 404 of a row that does not exist.
func NoRow(table, id string) *Error {
	return Refuse(http.StatusNotFound, "0x80040217", "Entity '%s' With Id = %s Does Not Exist", table, id)
}

// NoProperty is the 400 of an unknown property in a query.
func NoProperty(name, table string) *Error {
	return Refuse(http.StatusBadRequest, "0x0", "Could not find a property named '%s' on type 'Microsoft.Dynamics.CRM.%s'.", name, table)
}

// NotHere is the 400 of rows of a virtual table: they lie in another system,
// which the emulator does not have.
func NotHere(table string) *Error {
	return Refuse(http.StatusBadRequest, "0x80048d0b", "The rows of the virtual entity %s could not be reached: its data provider does not answer.", table)
}

// BadPayload is the 400 of a body that does not fit the type.
func BadPayload(format string, args ...any) *Error {
	return Refuse(http.StatusBadRequest, "0x80048d19", "Error identified in Payload provided by the user for Entity :'', For more information on this error please follow this help link https://go.microsoft.com/fwlink/?linkid=2195293  ---->  InnerException : Microsoft.OData.ODataException: "+format, args...)
}

// BadQuery is the 400 of a query the service cannot do.
func BadQuery(format string, args ...any) *Error {
	return Refuse(http.StatusBadRequest, "0x80060888", format, args...)
}
