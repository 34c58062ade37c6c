<?php
// A member system as a customer might run it: document/literal SOAP over PHP's own SoapServer, members kept in one
// JSON file. It shares nothing with the platform's code, so a test against it proves the protocol, not our reading of it.
declare(strict_types=1);

final class Members
{
    private const MAX_LIMIT = 100;

    public function __construct(private readonly string $store)
    {
    }

    public function ListMembers(object $request): array
    {
        if ($request->offset < 0 || $request->limit < 1 || $request->limit > self::MAX_LIMIT) {
            throw $this->fault('BadPage', '', 'offset must be 0 or more and limit 1 to ' . self::MAX_LIMIT);
        }
        $members = array_values($this->read());
        if (isset($request->updatedSince)) {
            $since = new DateTimeImmutable($request->updatedSince);
            $members = array_values(array_filter(
                $members,
                fn (array $member): bool => new DateTimeImmutable($member['updatedAt']) > $since
            ));
        }
        return ['total' => count($members), 'member' => array_slice($members, $request->offset, $request->limit)];
    }

    public function GetMember(object $request): array
    {
        $members = $this->read();
        if (!isset($members[$request->memberId])) {
            throw $this->fault('NoSuchMember', $request->memberId, "there is no member {$request->memberId}");
        }
        return ['member' => $members[$request->memberId]];
    }

    public function PutMember(object $request): array
    {
        $member = (array) $request->member;
        if (!preg_match('/^[A-Za-z0-9-]{1,20}$/', $member['memberId'])) {
            throw $this->fault('BadMemberId', $member['memberId'], 'memberId must be 1 to 20 letters, digits or hyphens');
        }
        $created = false;
        $this->change(function (array $members) use ($member, &$created): array {
            $created = !isset($members[$member['memberId']]);
            $kept = $members[$member['memberId']] ?? ['updatedAt' => date(DATE_ATOM)];
            $members[$member['memberId']] = array_merge($kept, $member);
            ksort($members, SORT_STRING);
            return $members;
        });
        return ['created' => $created];
    }

    private function read(): array
    {
        return $this->locked('r', LOCK_SH, fn ($file): array => $this->decode($file));
    }

    private function change(callable $edit): void
    {
        $this->locked('r+', LOCK_EX, function ($file) use ($edit): array {
            $members = $edit($this->decode($file));
            rewind($file);
            ftruncate($file, 0);
            fwrite($file, json_encode($members, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE));
            fflush($file);
            return $members;
        });
    }

    private function locked(string $mode, int $lock, callable $work): array
    {
        $file = fopen($this->store, $mode);
        flock($file, $lock);
        try {
            return $work($file);
        } finally {
            flock($file, LOCK_UN);
            fclose($file);
        }
    }

    private function decode($file): array
    {
        return json_decode(stream_get_contents($file), true, 16, JSON_THROW_ON_ERROR);
    }

    private function fault(string $code, string $memberId, string $message): SoapFault
    {
        return new SoapFault('Client', $message, null, ['code' => $code, 'memberId' => $memberId], 'MemberFault');
    }
}

$server = new SoapServer(__DIR__ . '/members.wsdl', ['features' => SOAP_SINGLE_ELEMENT_ARRAYS]);
$server->setObject(new Members(getenv('MEMBERS_STORE')));
$server->handle();
