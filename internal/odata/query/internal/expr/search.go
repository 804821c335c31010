package expr

import "strings"

// countOptions reads the options in parentheses behind a $count step.
func (p *Scanner) countOptions(s *Step) (err error) {
	p.At++ // "("
	for {
		p.Take('$')
		switch {
		case p.TakeText("filter="):
			s.Pred, err = p.Expr()
		case p.TakeText("search="):
			s.Search, err = p.Search()
		default:
			err = p.Fail("$filter or $search")
		}
		if err != nil {
			return err
		}
		if p.Take(')') {
			return nil
		}
		if err := p.Need(';'); err != nil {
			return err
		}
	}
}

// Items reads items separated by commas.
func (p *Scanner) Items(item func() error) error {
	for {
		if err := item(); err != nil {
			return err
		}
		if !p.Take(',') {
			return nil
		}
		p.Space()
	}
}

// Search reads the value of $search and returns it as it stands: words and
// phrases separated by whitespace, in parentheses perhaps, or anything in
// single quotes.
func (p *Scanner) Search() (string, error) {
	start := p.At
	p.Space()
	if p.Peek() == '\'' {
		_, err := p.Quoted()
		return p.Text[start:p.At], err
	}
	err := p.searchTerms()
	return p.Text[start:p.At], err
}

func (p *Scanner) searchTerms() error {
	if err := p.Enter(); err != nil {
		return err
	}
	defer p.Leave()
	for {
		switch p.Peek() {
		case '(':
			p.At++
			p.Space()
			if err := p.searchTerms(); err != nil {
				return err
			}
			p.Space()
			if err := p.Need(')'); err != nil {
				return err
			}
		case '"':
			n := strings.IndexByte(p.Rest()[1:], '"')
			if n <= 0 {
				return p.Fail("a phrase in double quotes")
			}
			p.At += n + 2
		default:
			n := Run(p.Rest(), func(c byte) bool { return c > ' ' && strings.IndexByte("()\";", c) < 0 })
			if n == 0 || p.Peek() == '\'' {
				return p.Fail("a word")
			}
			p.At += n
		}
		at := p.At
		if !p.Space() || p.Done() || p.Peek() == ')' || p.Peek() == ';' {
			p.At = at
			return nil
		}
	}
}
