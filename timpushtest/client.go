package timpushtest

import timpush "github.com/timpush/timpush-go"

// Config returns the configuration of a client of the fake: its app, its administrator and its key. The region does
// not matter, since [Server.Client] and [timpush.WithBaseURL] give the address of the fake.
func (s *Server) Config() timpush.Config {
	id, identifier, key := s.App()
	return timpush.Config{SDKAppID: id, Identifier: identifier, SecretKey: key, Region: timpush.RegionSingapore}
}

// Client returns a client of the fake that is ready to use. The given options come last, so that they
// win. It panics if [timpush.NewClient] refuses an option.
func (s *Server) Client(opts ...timpush.Option) *timpush.Client {
	to := []timpush.Option{timpush.WithBaseURL(s.URL), timpush.WithHTTPClient(s.HTTPClient())}
	c, err := timpush.NewClient(s.Config(), append(to, opts...)...)
	if err != nil {
		panic(err)
	}
	return c
}
