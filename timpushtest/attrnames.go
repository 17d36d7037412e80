package timpushtest

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// setAttrName is v4/timpush/set_attr_name, page tencentcloud.com/document/product/1047/60563. It is all or nothing.
func (j job) setAttrName() reply {
	wanted, bad := j.readNames()
	if bad != nil {
		return bad.reply()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	names, bad := j.settings.rename(j.Server.names, wanted) // those of the job may have changed since
	switch {
	case bad != nil:
		return bad.reply()
	case j.refuses():
		return injected(j.fault).reply()
	}
	j.Server.names = names
	return reply{}
}

// wantedName is what a request says about one index.
type wantedName struct {
	index int
	name  string
	kind  accountType
	typed bool // the request gives a type
}

// readNames returns what a request wants, in the order of the indices.
func (j job) readNames() ([]wantedName, *refusal) {
	names, types, bad := j.readNameFields()
	if bad != nil {
		return nil, bad
	}
	for _, key := range slices.Sorted(maps.Keys(types)) {
		if names[key] == nil {
			return nil, refuse(cmp.Or(j.settings.BadIndexCode, codeBadRequest), "AttrTypes has an index %q that AttrNames does not have", key)
		}
	}
	wanted := make([]wantedName, 0, len(names))
	for _, key := range slices.Sorted(maps.Keys(names)) {
		w, bad := j.settings.readName(key, names[key], types[key])
		if bad != nil {
			return nil, bad
		}
		wanted = append(wanted, w)
	}
	return wanted, nil
}

// readNameFields reads the names and types of the body by index.
func (j job) readNameFields() (names, types object, bad *refusal) {
	fields, bad := j.readObject()
	if bad != nil {
		return nil, nil, bad
	}
	if json.Unmarshal(fields["AttrNames"], &names) != nil || names == nil {
		return nil, nil, refuse(codeBadRequest, "AttrNames is missing or not an object")
	}
	if len(names) == 0 && !j.settings.EmptyAccepted {
		return nil, nil, refuse(codeBadRequest, "AttrNames is empty")
	}
	raw, ok := fields["AttrTypes"]
	if ok && !j.noType && (json.Unmarshal(raw, &types) != nil || types == nil) {
		return nil, nil, refuse(codeBadRequest, "AttrTypes is not an object")
	}
	return names, types, nil
}

func (set *settings) readName(key string, name, kind json.RawMessage) (w wantedName, bad *refusal) {
	if len(key) != 1 || key[0] < '0' || key[0] > '9' {
		return w, refuse(cmp.Or(set.BadIndexCode, codeBadRequest), "%q is not an index from 0 to 9", key)
	}
	w.index = int(key[0] - '0')
	var ok bool
	w.name, ok = readText(name)
	switch {
	case !ok:
		return w, refuse(cmp.Or(set.NonStringCode, codeBadRequest), "the name at index %d is not a string", w.index)
	case set.isLong(name, w.name):
		return w, refuse(codeInvalidAttr, "the name at index %d is too long", w.index)
	case w.name == "" && !set.EmptyNameClears:
		return w, refuse(codeInvalidAttr, "the name at index %d is empty", w.index)
	case kind == nil:
		return w, nil
	}
	w.typed = true
	w.kind, bad = set.readType(kind)
	return w, bad
}

func (set *settings) readType(raw json.RawMessage) (accountType, *refusal) {
	var kind accountType
	if string(raw) == "null" || json.Unmarshal(raw, &kind) != nil {
		return 0, refuse(codeBadRequest, "an element of AttrTypes is not an integer")
	}
	if kind != typeUserID && kind != typeRegistrationID {
		return 0, refuse(cmp.Or(set.BadIndexCode, codeBadRequest), "%d is not a type of account", kind)
	}
	return kind, nil
}

// rename returns the names as they are wanted, unless a type would change or a name be there twice.
func (set *settings) rename(names attrNames, wanted []wantedName) (attrNames, *refusal) {
	for _, w := range wanted {
		if bad := set.renameOne(&names[w.index], w); bad != nil {
			return names, bad
		}
	}
	for _, w := range wanted {
		for i, other := range names {
			if i != w.index && w.name != "" && set.sameName(other.name, w.name) {
				return names, alreadyThere(w.name, i)
			}
		}
	}
	return names, nil
}

func (set *settings) renameOne(at *attrName, w wantedName) *refusal {
	switch {
	case w.typed && at.fixed && w.kind != at.kind:
		return refuse(codeInvalidAttr, "the type of attribute %q at index %d cannot be changed", at.name, w.index)
	case at.name != "" && at.name == w.name && set.SameNameRefused:
		return alreadyThere(w.name, w.index)
	case at.name != "" && at.name != w.name && set.RenameRefused:
		return refuse(codeInvalidAttr, "index %d has the name %q", w.index, at.name)
	}
	at.name = w.name
	if w.name != "" && !at.fixed {
		at.kind, at.fixed = w.kind, true
	}
	return nil
}

// alreadyThere has the text of the vendor's sample, page tencentcloud.com/document/product/1047/60563.
func alreadyThere(name string, index int) *refusal {
	return refuse(codeInvalidAttr, "attrName:%s already exists at index:%d", name, index)
}

// getAttrName is v4/timpush/get_attr_name, page tencentcloud.com/document/product/1047/60562.
func (j job) getAttrName() reply {
	if _, bad := j.readObject(); bad != nil {
		return bad.reply()
	}
	names, types := map[string]any{}, map[string]any{}
	for i, at := range j.names {
		if at.name == "" {
			continue
		}
		key := strconv.Itoa(i)
		names[key] = at.name
		types[key] = j.settings.number(int(at.kind))
	}
	rep := reply{}
	if len(names) > 0 || !j.settings.EmptyFieldsAbsent {
		rep.fields = map[string]any{"AttrNames": names}
		if !j.settings.TypesOmitted && !j.noType {
			rep.fields["AttrTypes"] = types
		}
	}
	return rep
}
