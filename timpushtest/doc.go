// Package timpushtest is a fake of the push admin API of Tencent Cloud Chat, in the spirit of net/http/httptest. It is
// meant for tests of programs that call the API, with the client of this module or any other.
//
// The fake shares no code with the client. It is built on the documentation alone and is as strict as that: it verifies
// each UserSig, checks every parameter, knows the attributes of its app and stores those of the accounts, so that a test
// can look at what arrived and what was stored:
//
//	func TestCities(t *testing.T) {
//		fake := timpushtest.Start(t, timpushtest.WithAttrNames("city"))
//		fake.Inject(timpushtest.ErrorCode(91000), timpushtest.CutAfter()) // two requests fail, the next ones do not
//
//		id, identifier, key := fake.App()
//		err := saveCities(fake.HTTPClient(), fake.URL, id, identifier, key) // the code under test
//		if err != nil {
//			t.Fatal(err)
//		}
//		if got := fake.Attrs("xiaoming")["city"]; got != "ShenZhen" {
//			t.Errorf("city is %q", got)
//		}
//		if n := len(fake.Calls()); n != 3 {
//			t.Errorf("%d requests", n)
//		}
//	}
//
// [Server.Client] is the shortest way to a client of this module, [Server.App] and [Server.HTTPClient] to any other.
//
// # Endpoints
//
// All are called with POST; the pages are those of tencentcloud.com/document/product/1047.
//
//   - /v4/timpush/set_attr, page 60565
//   - /v4/timpush/get_attr, page 60564
//   - /v4/timpush/remove_attr, page 60566
//   - /v4/timpush/set_attr_name, page 60563
//   - /v4/timpush/get_attr_name, page 60562
//   - /v4/timpush/add_tag, get_tag, remove_tag and clear_all_tags, pages 60567 to 60570
//   - /v4/timpush/push, pages 60561 and 67814
//   - /v4/timpush/batch, page 67553
//   - /v4/timpush/revoke, page 60571
//   - /v4/timpush/add_sched_task, modify_sched_task, delete_sched_task, get_sched_task and list_sched_task, pages 78839 to
//     78843
//   - /v4/timpush/all_member_push_trace, all_member_push_statistics, all_member_push_loss, normal_push_trace,
//     normal_push_statistics and normal_push_loss, pages 71893 to 71898
//
// The older family of pages 37167 to 37171 is there as well: /v4/all_member_push/im_set_attr and so on, with the same
// names and attributes. It knows no types of accounts: AttrTypes is ignored, and all attributes are for all accounts.
// It has no ErrorList: an account that fails makes the request fail, which is not documented.
//
// # What is checked
//
// In this order, which is not documented; the first fault is answered. The HTTP status is 200 in every case.
//
//  1. Method and path: 60009.
//  2. The query. Unreadable: 60002. sdkappid missing: 60012. Any of sdkappid, identifier, usersig, random and
//     contenttype missing, empty, given twice or wrong: 60025. contenttype must be json, random a decimal number of 32
//     bits. Other parameters are ignored.
//  3. The host, with [WithRegionHost]: 60026.
//  4. The app: 70020 if it is another.
//  5. The UserSig. Undecodable: 70003. Made for another app: 70014. For another identifier: 70013. HMAC wrong: 70009.
//     Expired: 70001. See page 34385.
//  6. The rate of 100 calls of this endpoint in any one second: 60007. Refused calls count. Others have rates of their own:
//     one push a second, 90024; one revoke a second, 90051; so many accounts of batch a second as [WithPlan] says, 60007
//     (a batch of more than 500 goes on to step 8); five calls a second of each command of scheduled pushes, and one of
//     each of the statistics, 60007.
//  7. The identifier must be the administrator of the app: 90009.
//  8. The body. Empty, not JSON or not UTF-8: 60003. Of the wrong shape: 90001. More than 100 accounts: 90018. Field
//     names must match in case; unknown fields are ignored.
//  9. Each entry in turn. To_Account or Attrs missing or empty, a value or a name that is not a string: 90001. A value
//     over 50 bytes or a name that the app does not have: 90033.
//
// A request refused so far changes nothing. Otherwise it succeeds, though single accounts may fail and then change
// nothing: with 90035 in ErrorList if one of the attributes belongs to the other type of account, and with 70107 if
// the account is not one of [WithKnownAccounts]. 90035 is for set_attr alone. An account without attributes has empty
// Attrs in get_attr, and loses nothing in remove_attr.
//
// In set_attr_name the entries are the names, with indices from "0" to "9". An index that is none of these or only in
// AttrTypes, and a type other than 0 and 1: 90001. A name of no or over 50 bytes, one that another index has, and a type
// other than the one that the index was given with its first name: 90033. Its requests succeed or fail as a whole. Names
// and types that the options set count as set by an earlier request.
//
// # Tags and pushes
//
// Their requests may have documented fields only: another one is refused with 90001. An account has at most 100 tags of at
// most 50 bytes, the app 1000; add_tag takes 10 for each account, 100 with Replace. Too long: 90020, too many: 90032. A tag
// belongs to the type of the account that has it first; an account of the other type fails with 90035.
//
// A push needs MsgRandom, else 90005, and OfflinePushInfo, or MsgBody, with members of the documented types, else 90001.
// Faults of a Condition: a tag that TagsAnd and TagsOr share 90022, more than 10 tags 90032, tags and attributes together
// 90039, an empty tag 90040, an unknown attribute 90033. A body of more than 10 KB: 90056. After 10 or 100 pushes of a
// day: 90047. A push without Condition is for all accounts that the fake knows: those with attributes or tags, and those that
// an option names. [Server.Pushes] has each push with its accounts, exactly if it went out.
//
// A batch takes 500 accounts, else 90011. A DataId of more than 64 bytes: 90057. An account that is not known is in
// ErrorList with 70107. revoke refuses an unknown TaskId with 90049, one that was revoked with 90050, one of more than 24
// hours ago with 90052, and a request without OfflinePushInfo with 90053.
//
// # Scheduled pushes, statistics and callbacks
//
// Requests for scheduled pushes are refused with 90104, also if there is no such task, and with 90107 if it is not pending
// any more. [Server.RunTasks] carries out those that are due: they become pushes.
//
// The statistics count the accounts of the pushes: [WithReach] says how many of them a push is sent to, reaches, and is
// clicked by. Wrong requests, spans of more than 30 days, and for losses of more than 7, are refused with 90001, the trace
// of an unknown TaskID with 90049. What the callbacks of Push.OfflinePush told is in those of chat messages.
//
// [Server.SendCallback] calls the app's server as the service does, with events of the test's choice or those that
// [Server.PushEvents] makes of a push.
//
// # Sources
//
// The codes and the limits are documented on the pages of the endpoints and on pages 67816, 34348 and 34620 of
// tencentcloud.com/document/product/1047. All texts in ErrorInfo, except for a name that another
// index has, are inventions of the fake: they name accounts and attributes but never a value, and may change.
//
// # What is not documented
//
// Where the documentation leaves a question open, the fake takes the likeliest answer. [WithVariant] sets others: a
// [Variant] has a field for each question, and [WorstCase] is the hardest answer to all of them. A careful client gives
// the right result under each:
//
//	fake := timpushtest.Start(t, timpushtest.WithVariant(timpushtest.WorstCase()))
//
// # Faults
//
// [Server.Inject] and [Server.Handle] make single requests fail in a chosen way, [Server.Poison] and [Server.Refuse]
// make accounts fail. Each request takes its fault as it arrives. Requests are recorded for [Server.Calls] whatever
// happens to them, and [Server.Watch] reports each.
//
// # Longer than a test
//
// A fake keeps all that it receives. One that runs for long is bounded by [WithKeptCalls] and [WithMaxAccounts], and
// [Server.ServeHTTP] puts it behind a listener of your own.
//
// # Time
//
// With [WithInMemory] a fake works inside a bubble of testing/synctest: latency, quota and expiry then follow the clock
// of the bubble and take no real time.
package timpushtest
