#include "app/account.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <grp.h>
#include <optional>
#include <pwd.h>
#include <string_view>
#include <unistd.h>
#include <utility>

namespace scoregate::app {

namespace {

std::optional<unsigned> number_in(std::string_view text) {
    unsigned number = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
    // The largest number stands for "leave it as it is" (setresuid(2)).
    if (ec != std::errc() || end != text.data() + text.size() || number == static_cast<unsigned>(-1)) return {};
    return number;
}

// What an entry of the databases points to: a group that a directory serves may have thousands of members.
constexpr std::size_t usual_room = 16 * 1024, most_room = 16 * 1024 * 1024;

// Empty: there is no such entry; the error says why that is not known.
template <class T>
using looked_up = boost::system::result<std::optional<T>, std::string>;

// `ask` is one of getpwnam_r(3) and its like, `take` makes of an entry what outlives it.
template <class T, class Entry, class Ask, class Take>
looked_up<T> look_up(Ask ask, Take take) {
    std::vector<char> room(usual_room);
    for (;;) {
        Entry entry{}, *found = nullptr;
        const int wrong = ask(&entry, room.data(), room.size(), &found);
        if (found != nullptr) return std::optional<T>(take(*found));
        if (wrong == EINTR) continue;
        if (wrong == ERANGE && room.size() < most_room) {
            room.resize(room.size() * 2);
            continue;
        }
        for (const int none : {0, ENOENT, ESRCH, EBADF, EPERM}) // as the manual has it: it depends on the database
            if (wrong == none) return std::optional<T>();
        return looked_up<T>(boost::system::in_place_error, std::strerror(wrong));
    }
}

struct user_entry {
    std::string name; // empty: a number that no entry has
    uid_t user = 0;
    std::optional<gid_t> group;
};

looked_up<user_entry> find_user(const std::string& name) {
    const auto take = [](const passwd& entry) { return user_entry{entry.pw_name, entry.pw_uid, entry.pw_gid}; };
    auto named = look_up<user_entry, passwd>([&](auto... room) { return ::getpwnam_r(name.c_str(), room...); }, take);
    const auto number = number_in(name);
    if (!number || (named && *named)) return named;
    auto numbered = look_up<user_entry, passwd>([&](auto... room) { return ::getpwuid_r(*number, room...); }, take);
    if (numbered && !*numbered) numbered->emplace(user_entry{"", *number, std::nullopt});
    return numbered;
}

looked_up<gid_t> find_group(const std::string& name) {
    auto named = look_up<gid_t, group>([&](auto... room) { return ::getgrnam_r(name.c_str(), room...); },
                                       [](const group& entry) { return entry.gr_gid; });
    const auto number = number_in(name);
    if (named && *named) return named;
    return number ? looked_up<gid_t>(number) : named;
}

std::vector<gid_t> groups_of(const std::string& user, gid_t own) {
    if (user.empty()) return {own};
    int count = 64;
    std::vector<gid_t> all(static_cast<std::size_t>(count));
    if (::getgrouplist(user.c_str(), own, all.data(), &count) < 0) {
        all.resize(static_cast<std::size_t>(count));
        if (::getgrouplist(user.c_str(), own, all.data(), &count) < 0) return {own};
    }
    all.resize(static_cast<std::size_t>(count));
    return all;
}

std::string failure(const account& wanted, const char* what) {
    return "cannot become user " + wanted.name + " (" + what + ": " + std::strerror(errno) +
           "): in a container it needs the capabilities SETUID and SETGID";
}

} // namespace

boost::system::result<account, std::string> find_account(const std::string& written) {
    const auto refused = [](std::string why) {
        return boost::system::result<account, std::string>(boost::system::in_place_error, std::move(why));
    };
    const auto colon = written.find(':');
    const auto name = written.substr(0, colon);
    const auto known = find_user(name);
    if (!known)
        return refused("the user \"" + name + "\" cannot be looked up (" + known.error() +
                       "): see what `getent passwd " + name + "` says");
    const auto& user = *known;
    if (!user)
        return refused("\"" + name +
                       "\" is no user of this machine: make one, such as `useradd --system "
                       "--no-create-home " +
                       name + "`, or correct the name");
    account found{written, user->user, 0, {}};
    if (colon != written.npos) {
        const auto group_name = written.substr(colon + 1);
        const auto grouped = find_group(group_name);
        if (!grouped)
            return refused("the group \"" + group_name + "\" cannot be looked up (" + grouped.error() +
                           "): see what `getent group " + group_name + "` says");
        const auto& group = *grouped;
        if (!group)
            return refused("\"" + group_name + "\" is no group of this machine: correct the name, or leave it out");
        found.group = *group;
    } else if (user->group) {
        found.group = *user->group;
    } else {
        return refused("the user " + name + " has no entry that says its group: write it as " + name + ":GROUP");
    }
    found.groups = groups_of(user->name, found.group);
    if (::geteuid() != 0 && (found.user != ::geteuid() || found.group != ::getegid()))
        return refused("only root can become " + written +
                       ": start scoregate as root, or leave user out and have its supervisor start it as that user");
    return found;
}

std::optional<std::string> become(const account& wanted) {
    if (::geteuid() != 0) return std::nullopt; // find_account() has seen that it is
    if (::setgroups(wanted.groups.size(), wanted.groups.data()) != 0) return failure(wanted, "setgroups");
    if (::setresgid(wanted.group, wanted.group, wanted.group) != 0) return failure(wanted, "setresgid");
    if (::setresuid(wanted.user, wanted.user, wanted.user) != 0) return failure(wanted, "setresuid");
    uid_t real = 0, effective = 0, saved = 0;
    gid_t real_group = 0, effective_group = 0, saved_group = 0;
    const bool became = ::getresuid(&real, &effective, &saved) == 0 && real == wanted.user &&
                        effective == wanted.user && saved == wanted.user &&
                        ::getresgid(&real_group, &effective_group, &saved_group) == 0 && real_group == wanted.group &&
                        effective_group == wanted.group && saved_group == wanted.group;
    if (!became || (wanted.user != 0 && ::setuid(0) == 0))
        return "became user " + wanted.name + " only by half, which must not be: the system lets it be root again";
    return std::nullopt;
}

acting_as::acting_as(const account& one) : own_user_(::geteuid()), own_group_(::getegid()) {
    const int count = ::getgroups(0, nullptr);
    own_groups_.resize(static_cast<std::size_t>(std::max(count, 0)));
    changed_ = own_user_ == 0 && ::getgroups(count, own_groups_.data()) == count &&
               ::setgroups(one.groups.size(), one.groups.data()) == 0;
    acts_ = changed_ && ::setegid(one.group) == 0 && ::seteuid(one.user) == 0;
}

acting_as::~acting_as() {
    if (!changed_) return;
    // Back to what it came from, which the saved ids allow; with rights that are half another's it must not go on.
    if (::seteuid(own_user_) != 0 || ::setegid(own_group_) != 0 ||
        ::setgroups(own_groups_.size(), own_groups_.data()) != 0)
        std::abort();
}

std::vector<std::string> unreadable_for(const account& one, const std::vector<std::string>& paths) {
    std::vector<std::string> closed;
    const acting_as other(one);
    if (!other) return closed;
    for (const auto& each : paths) {
        // Not with O_PATH: what counts is the right to read it, in folders that may be entered.
        const int descriptor = ::open(each.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (descriptor >= 0)
            ::close(descriptor);
        else if (errno == EACCES || errno == EPERM)
            closed.push_back(each);
    }
    return closed;
}

} // namespace scoregate::app
