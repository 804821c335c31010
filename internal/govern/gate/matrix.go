package gate

import (
	"fmt"
	"slices"
	"strings"

	"allod"
)

// Rule is one cell of the shipped policy: whether data of a class may be used
// for a purpose.
type Rule struct {
	Purpose allod.Purpose
	Use     string // in the words of mission §1, e.g. "Direct marketing"
	Class   allod.DataClass
	Allow   bool
	Origin  string // OriginMatrix or OriginInstruction
}

// The origins of rules.
const (
	OriginMatrix      = "use matrix, mission §1"
	OriginInstruction = "the customer's own instruction"
)

// ShippedRules returns the shipped policy as data: the seven uses × two classes
// of mission §1, then the purposes for which a customer works with data of
// their own (design/rights.md "The gate"; design/interface.md "Actor and
// purpose"). The caller owns the slice.
func ShippedRules() []Rule {
	uses := []struct {
		purpose               allod.Purpose
		use                   string
		customerData, content bool
		origin                string
	}{
		{allod.PurposeOperate, "Operating and troubleshooting the service", true, true, OriginMatrix},
		{allod.PurposeSecurity, "Security, spam and malware prevention", true, true, OriginMatrix},
		{allod.PurposeServiceMessages, "Service communications (to administrators)", true, false, OriginMatrix},
		{allod.PurposeImprove, "Improving the purchased services", false, false, OriginMatrix},
		{allod.PurposeAdvertise, "Advertising", false, false, OriginMatrix},
		{allod.PurposeLawEnforcement, "Voluntary disclosure to law enforcement", false, false, OriginMatrix},
		{allod.PurposeDirectMarketing, "Direct marketing", false, false, OriginMatrix},

		{allod.PurposeRestore, "Restoring the customer's own data", true, true, OriginInstruction},
		{allod.PurposeTroubleshoot, "Looking into the customer's own data", true, true, OriginInstruction},
		{allod.PurposeAnswerRequest, "Answering a request of a data subject", true, true, OriginInstruction},
		{allod.PurposeLitigation, "Litigation and legal hold", true, true, OriginInstruction},
	}
	rules := make([]Rule, 0, 2*len(uses))
	for _, u := range uses {
		rules = append(rules,
			Rule{u.purpose, u.use, allod.ClassCustomerData, u.customerData, u.origin},
			Rule{u.purpose, u.use, allod.ClassContent, u.content, u.origin})
	}
	return rules
}

// ShippedMatrix returns the Decider over ShippedRules. What no rule names is a
// Gap. It looks at purpose and class; who may do what (roles) is for the
// policies of a tenant.
func ShippedMatrix() Decider { return matrix(ShippedRules()) }

type matrix []Rule

// Decide implements Decider.
func (m matrix) Decide(r Request) Decision {
	gaps := describe(r)
	purposeKnown, classKnown := false, false
	d := Decision{Effect: Deny}
	for _, rule := range m {
		purposeKnown = purposeKnown || rule.Purpose == r.Purpose
		classKnown = classKnown || rule.Class == r.Resource.Class
		if rule.Purpose != r.Purpose || rule.Class != r.Resource.Class {
			continue
		}
		verdict := "no"
		if rule.Allow {
			verdict, d.Effect = "yes", Allow
		}
		d.Reasons = append(d.Reasons, fmt.Sprintf("%s × %s: %s (%s)", rule.Use, className(rule.Class), verdict, rule.Origin))
	}
	if !purposeKnown {
		gaps = append(gaps, "no policy knows this purpose")
	}
	if !classKnown {
		gaps = append(gaps, "the class of the data is not described")
	}
	if len(gaps) > 0 {
		d.Effect = Gap
		d.Reasons = append(d.Reasons, gaps...)
	}
	slices.Sort(d.Reasons)
	return d
}

// describe lists what a request leaves open.
func describe(r Request) []string {
	var gaps []string
	if strings.TrimSpace(string(r.Actor)) == "" {
		gaps = append(gaps, "nobody is named as the actor")
	}
	if !r.Action.Known() {
		gaps = append(gaps, "the action is not one that Allod knows")
	}
	if r.Resource.Environment == "" {
		gaps = append(gaps, "the environment is not named")
	}
	return gaps
}

func className(c allod.DataClass) string {
	switch c {
	case allod.ClassCustomerData:
		return "Customer Data other than content"
	case allod.ClassContent:
		return "Content"
	default:
		return "undescribed data"
	}
}
