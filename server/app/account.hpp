// The user that the process goes on as once everything is bound (`user` of the configuration). Start-up only.
#pragma once

#include <boost/system/result.hpp>

#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace scoregate::app {

struct account {
    std::string name; // as written
    uid_t user = 0;
    gid_t group = 0;
    std::vector<gid_t> groups; // all of them
};

// The account that `written` ("NAME" or "NAME:GROUP", each a name or a number) is on this machine. The error is a
// sentence: there is no such user or group, or this process may not become it, as only root may become another.
boost::system::result<account, std::string> find_account(const std::string& written);

// Becomes that account for good, every thread of the process, or says in a sentence why not: then it must end. Whoever
// is it already stays as it is.
std::optional<std::string> become(const account&);

// Takes on an account's rights to files for its lifetime, in every thread. As root; false where that was not possible,
// and for who is not root.
class acting_as {
public:
    explicit acting_as(const account&);
    acting_as(const acting_as&) = delete;
    acting_as& operator=(const acting_as&) = delete;
    ~acting_as();

    explicit operator bool() const { return acts_; }

private:
    uid_t own_user_;
    gid_t own_group_;
    std::vector<gid_t> own_groups_;
    bool changed_ = false; // anything, to be taken back
    bool acts_ = false;
};

// Of `paths`, what is there and could not be opened for reading by that account. As root.
std::vector<std::string> unreadable_for(const account&, const std::vector<std::string>& paths);

} // namespace scoregate::app
