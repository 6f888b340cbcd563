#include "app/account.hpp"
#include "support/certificates.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace scoregate;
using Catch::Contains;

namespace {

// What `tried` says, in a process of its own.
int apart(const std::function<int()>& tried) {
    const auto child = ::fork();
    if (child == 0) ::_exit(tried());
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

bool is_root() { return ::geteuid() == 0; }

} // namespace

TEST_CASE("who is no user or group of this machine is refused with what to do") {
    CHECK_THAT(app::find_account("no-such-user-here").error(),
               Contains("no user of this machine") && Contains("useradd"));
    CHECK_THAT(app::find_account("root:no-such-group-here").error(), Contains("no group of this machine"));
    CHECK_THAT(app::find_account("54321").error(), Contains("54321:GROUP"));
    CHECK_THAT(app::find_account("4294967295:0").error(),
               Contains("no user of this machine")); // "as it is" for setresuid
}

TEST_CASE("a name, a number, and a group of one's own choice") {
    if (!is_root()) {
        WARN("only root can become another user: not tested");
        return;
    }
    const auto* const nobody = ::getpwnam("nobody");
    const auto* const daemon = ::getgrnam("daemon");
    REQUIRE((nobody != nullptr && daemon != nullptr));
    const auto number = nobody->pw_uid;
    const auto own_group = nobody->pw_gid;
    const auto by_name = *app::find_account("nobody");
    CHECK((by_name.user == number && by_name.group == own_group));
    CHECK(app::find_account(std::to_string(number))->user == number);
    const auto grouped = *app::find_account("nobody:daemon");
    CHECK((grouped.user == number && grouped.group == daemon->gr_gid));
    CHECK(std::find(grouped.groups.begin(), grouped.groups.end(), daemon->gr_gid) != grouped.groups.end());
    CHECK(std::find(grouped.groups.begin(), grouped.groups.end(), gid_t{0}) == grouped.groups.end());
    CHECK(app::find_account("54321:54322")->group == 54322);
}

TEST_CASE("an entry of any size is read, and what cannot be looked up is not taken for missing") {
    if (!is_root()) {
        WARN("only root can put another /etc/group in place: not tested");
        return;
    }
    const tests::pem_directory folder;
    const auto group_of_members = [&folder](std::size_t bytes) {
        std::string line = "crowd:x:4711:first";
        while (line.size() < bytes) line += ",another_member";
        return folder.write("group", line + '\n');
    };
    // 99: this machine does not let it.
    const auto with = [](const std::string& groups, const std::function<int()>& tried) {
        return apart([&] {
            if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
                ::mount(groups.c_str(), "/etc/group", nullptr, MS_BIND, nullptr) != 0)
                return 99;
            return tried();
        });
    };
    const auto large = with(group_of_members(100'000), [] {
        const auto found = app::find_account("nobody:crowd");
        return found && found->group == 4711 ? 0 : 1;
    });
    if (large == 99) {
        WARN("mounts are not permitted: not tested");
        return;
    }
    CHECK(large == 0);
    CHECK(with(group_of_members(20'000'000), [] {
              const auto found = app::find_account("nobody:crowd");
              return found.has_error() && found.error().find("cannot be looked up") != std::string::npos ? 0 : 1;
          }) == 0);
}

TEST_CASE("becoming another is for good, in every id and group") {
    if (!is_root()) {
        WARN("only root can become another user: not tested");
        return;
    }
    const auto nobody = *app::find_account("nobody");
    CHECK(apart([&] {
              if (app::become(nobody)) return 1;
              uid_t ids[3];
              gid_t groups[3];
              if (::getresuid(&ids[0], &ids[1], &ids[2]) != 0 || ::getresgid(&groups[0], &groups[1], &groups[2]) != 0)
                  return 2;
              for (const auto each : ids)
                  if (each != nobody.user) return 3;
              for (const auto each : groups)
                  if (each != nobody.group) return 4;
              gid_t more[64];
              const int count = ::getgroups(64, more);
              if (std::find(more, more + std::max(count, 0), gid_t{0}) != more + std::max(count, 0)) return 5;
              if (::setuid(0) == 0 || ::seteuid(0) == 0 || ::setgid(0) == 0) return 6;
              return 0;
          }) == 0);
}

TEST_CASE("who is not root can only stay who he is") {
    if (!is_root()) {
        WARN("root is needed to be somebody else: not tested");
        return;
    }
    const auto nobody = *app::find_account("nobody");
    CHECK(apart([&] {
              if (app::become(nobody)) return 1;
              const auto again = app::find_account("nobody");
              if (!again || app::become(*again)) return 2;
              const auto root = app::find_account("root");
              return root.has_error() && root.error().find("only root can become root") != std::string::npos ? 0 : 3;
          }) == 0);
}

TEST_CASE("what the other user will not be able to read is known before") {
    if (!is_root()) {
        WARN("only root can become another user: not tested");
        return;
    }
    const auto nobody = *app::find_account("nobody");
    const tests::pem_directory folder; // 0700
    const auto file = folder.write("key.pem", "x");
    CHECK(app::unreadable_for(nobody, {file, "/etc/passwd", "/nothing"}) == std::vector{file});
    ::chmod(folder.path().c_str(), 0755);
    CHECK(app::unreadable_for(nobody, {file}) == std::vector{file}); // 0600
    ::chmod(file.c_str(), 0644);
    CHECK(app::unreadable_for(nobody, {file}).empty());
    {
        const app::acting_as other(nobody);
        CHECK(other);
        CHECK((::geteuid() == nobody.user && ::getegid() == nobody.group));
    }
    CHECK((::geteuid() == 0 && ::getegid() == 0));
}
